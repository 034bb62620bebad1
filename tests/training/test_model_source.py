"""The source that a config names."""

import os
import shutil

import pytest

from tlj import config as configuration
from tlj.errors import InputError
from tlj.training.model_source import open_model_source, source_identity


def model(source, **values) -> dict:
    config = configuration.default()
    config.model.source = str(source)
    return {**configuration.to_dict(config.model), **values}


@pytest.fixture(scope="module")
def vit_source(tmp_path_factory, comparison):
    """A copy of a comparison's source, to be changed."""
    target = tmp_path_factory.mktemp("sources") / "source"
    shutil.copytree(comparison[0] / "source", target)
    return target


def test_a_source_is_read_once_while_its_files_are_the_same(vit_source):
    told = model(vit_source)
    first = open_model_source(told, vit_source.parent)
    assert open_model_source(model("source"), vit_source.parent) is first
    checkpoint = max((vit_source / "checkpoints").iterdir())
    os.utime(checkpoint, ns=(1, 1))
    assert open_model_source(told, vit_source.parent) is not first


def test_what_the_config_says_of_it_is_part_of_it(vit_source):
    told = model(vit_source)
    plain = open_model_source(told, vit_source.parent)
    changed = open_model_source({**told, "settings": {"dropout": 0.3}}, vit_source.parent)
    assert (plain.spec.dropout, changed.spec.dropout) == (0.1, 0.3)
    brighter = open_model_source({**told, "preprocessing": {"mean": [0.1, 0.1, 0.1]}}, vit_source.parent)
    assert brighter.preprocessing.mean == (0.1,) * 3
    with pytest.raises(InputError, match="the source is a vit, not a resnet"):
        open_model_source({**told, "family": "resnet"}, vit_source.parent)


def test_an_identity_tells_sources_apart_and_there_is_none_without_a_source(vit_source):
    told = model(vit_source)
    before = source_identity(told, vit_source.parent)
    assert before == open_model_source(told, vit_source.parent).identity
    manifest = vit_source / "manifest.json"
    manifest.write_text(manifest.read_text() + " ")
    assert source_identity(told, vit_source.parent) != before
    assert source_identity(model(""), vit_source.parent) == ""
