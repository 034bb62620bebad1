"""BERT as transformers has it."""

import json

from hypothesis import given
from hypothesis import strategies as st

from tlj.models.bert import BERTSpec
from tlj.pretrained.formats.huggingface.bert import BERT
from tlj.pretrained.formats.huggingface.config import settings_of

RATES = st.floats(0, 0.9)
SPECS = st.builds(
    BERTSpec,
    num_classes=st.integers(1, 5),
    vocabulary=st.integers(10, 10**6),
    width=st.sampled_from([12, 24]),
    depth=st.integers(1, 50),
    heads=st.sampled_from([1, 2, 3]),
    mlp_width=st.integers(1, 4096),
    activation=st.sampled_from(["gelu", "gelu_tanh", "relu"]),
    epsilon=st.floats(1e-12, 1.0),
    positions=st.integers(1, 4096),
    types=st.integers(1, 4),
    padding=st.integers(0, 9),
    dropout=RATES,
    attention_dropout=RATES,
    head_dropout=st.none() | RATES,
    pool=st.just("pooler"),
)


@given(SPECS)
def test_a_spec_comes_back_from_its_config(spec):
    config = json.loads(json.dumps(BERT.config(spec)))
    assert BERTSpec(num_classes=spec.num_classes, **BERT.fields(settings_of(BERT, config, ""), "torch")) == spec


def test_settings_of_the_first_multilingual_checkpoints_change_nothing():
    config = {"directionality": "bidi", "pooler_fc_size": 768, "pooler_type": "first_token_transform"}
    assert settings_of(BERT, config, "") == settings_of(BERT, {}, "")
