"""The families of transformers that tlj reads and writes."""

from tlj.models import registry
from tlj.pretrained.formats.huggingface.families import FAMILIES


def test_every_family_of_tlj_is_one_of_transformers():
    assert {name: family.model_type for name, family in FAMILIES.items()} == {name: name for name in registry.FAMILIES}
