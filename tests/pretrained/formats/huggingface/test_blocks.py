"""The layers of a block of transformers' transformers."""

import json
import pathlib

import pytest

from tlj.models.bert import BERTSpec
from tlj.models.shapes import leaf_shapes
from tlj.pretrained.files.safetensors_file import open_safetensors
from tlj.pretrained.formats.huggingface.blocks import block_modules
from tlj.pretrained.formats.name_map import entries

CHECKPOINTS = pathlib.Path(__file__).parents[3] / "golden" / "checkpoints"
PARTS = {
    "vit_gelu": dict(attention="attention", attention_norm="layernorm_before", mlp_norm="layernorm_after"),
    "bert_gelu": dict(attention="self", attention_norm="attention.output.LayerNorm", mlp_norm="output.LayerNorm"),
}


@pytest.mark.parametrize("name", list(PARTS))
@pytest.mark.parametrize("index", [0, 1])
def test_the_arrays_of_a_block_are_all_that_a_real_checkpoint_holds_of_it(name, index):
    config = json.loads((CHECKPOINTS / name / "config.json").read_text())
    spec = BERTSpec(width=config["hidden_size"], depth=2, heads=2, mlp_width=config["intermediate_size"], num_classes=0)
    # The blocks of ViT and BERT hold the same leaves.
    leaves = {path: shape for path, shape in leaf_shapes(spec).items() if f"/block{index}/" in path}
    named = {}
    for entry in entries(block_modules(index, **PARTS[name]), leaves, "torch"):
        named |= dict.fromkeys(entry.names, entry.stored_shape)
    stored = open_safetensors(CHECKPOINTS / name / "model.safetensors")
    prefix = f"{name.partition('_')[0]}."
    expected = {key.removeprefix(prefix): array.shape for key, array in stored.items() if f"layer.{index}." in key}
    assert named == expected
