"""The names of a checkpoint's arrays without what the class that saved them put before them."""

import numpy as np
import pytest

from tlj.errors import InputError
from tlj.pretrained.files.stored import in_memory
from tlj.pretrained.formats.huggingface.families import FAMILIES
from tlj.pretrained.formats.huggingface.names import plain_names

SIGNATURES = {
    "vit": ("embeddings.cls_token", "embeddings/cls_token"),
    "resnet": ("embedder.embedder.convolution.weight", "embedder/embedder/convolution/kernel"),
    "bert": ("embeddings.word_embeddings.weight", "embeddings/word_embeddings/embedding"),
}


def plain(kind, names, layout="torch"):
    arrays = {name: in_memory(name, np.zeros(1)) for name in names}
    return plain_names(arrays, FAMILIES[kind], layout, "weights")


@pytest.mark.parametrize("kind", FAMILIES)
@pytest.mark.parametrize("prefix", ["", "{}.", "encoder.", "module.{}.", "module."])
def test_any_prefix_is_taken_off_and_the_head_keeps_its_name(kind, prefix):
    signature = SIGNATURES[kind][0]
    prefix = prefix.format(kind)
    outer = "module." if prefix.startswith("module.") else ""
    found = plain(kind, [prefix + signature, f"{prefix}layernorm.weight", f"{outer}classifier.weight"])
    assert set(found) == {signature, "layernorm.weight", "classifier.weight"}
    assert found[signature].name == prefix + signature


@pytest.mark.parametrize("kind", FAMILIES)
@pytest.mark.parametrize("collections", [("", ""), ("params/", "batch_stats/")])
def test_prefix_and_collection_are_taken_off_the_names_of_flax(kind, collections):
    params, statistics = collections
    signature = SIGNATURES[kind][1]
    names = [f"{params}{kind}/{signature}", f"{params}classifier/kernel", f"{statistics}{kind}/norm/mean"]
    assert set(plain(kind, names, "flax")) == {signature, "classifier/kernel", "norm/mean"}


def test_old_names_of_a_layer_norm_are_read():
    found = plain("bert", ["bert.embeddings.LayerNorm.gamma", "bert.encoder.layer.0.output.LayerNorm.beta"])
    assert set(found) == {"embeddings.LayerNorm.weight", "encoder.layer.0.output.LayerNorm.bias"}
    assert found["embeddings.LayerNorm.weight"].name == "bert.embeddings.LayerNorm.gamma"


def test_two_models_in_one_file_are_refused():
    with pytest.raises(InputError, match="weights: 2 models in one checkpoint, under the prefixes '', 'vit.'"):
        plain("vit", ["embeddings.cls_token", "vit.embeddings.cls_token"])


@pytest.mark.parametrize(
    ("names", "layout"),
    [
        (["bert.pooler.dense.weight", "pooler.dense.weight", "bert.embeddings.word_embeddings.weight"], "torch"),
        (["embeddings.LayerNorm.gamma", "embeddings.LayerNorm.weight"], "torch"),
        (["params/classifier/bias", "classifier/bias"], "flax"),
    ],
)
def test_two_arrays_of_one_name_are_refused(names, layout):
    with pytest.raises(InputError, match="are the same array"):
        plain("bert", names, layout)


def test_without_the_signature_the_usual_prefix_is_taken_off():
    assert set(plain("vit", ["vit.layernorm.weight", "classifier.bias"])) == {"layernorm.weight", "classifier.bias"}
    assert set(plain("vit", ["layernorm.weight"])) == {"layernorm.weight"}
