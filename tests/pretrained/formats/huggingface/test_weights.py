"""Which of a directory's files the arrays come from."""

import json

import pytest
from safetensors.numpy import save_file

from tlj.errors import InputError
from tlj.pretrained.formats.huggingface.weights import open_weights


def test_safetensors_win_over_msgpack(tmp_path, tiny):
    spec = tiny.specs["bert"]
    tiny.write(tmp_path, spec, layout="flax")
    assert (open_weights(tmp_path).layout, open_weights(tmp_path).file.name) == ("flax", "flax_model.msgpack")
    tiny.write(tmp_path, spec)
    assert (open_weights(tmp_path).layout, open_weights(tmp_path).file.name) == ("torch", "model.safetensors")


def test_shards_are_opened_through_their_index(tmp_path, tiny):
    arrays = tiny.arrays(tiny.specs["vit"])
    shards = {"model-00001-of-00002.safetensors": {}, "model-00002-of-00002.safetensors": {}}
    for number, (name, array) in enumerate(arrays.items()):
        list(shards.values())[number % 2][name] = array
    for file, held in shards.items():
        save_file(held, tmp_path / file)
    where = {name: file for file, held in shards.items() for name in held}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))
    found = open_weights(tmp_path)
    assert set(found.arrays) == set(arrays)
    assert [file.name for file in found.files] == ["model.safetensors.index.json", *shards]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("pytorch_model.bin", "a pickle, which is never opened"),
        ("tf_model.h5", "a file of TensorFlow"),
        ("flax_model.msgpack.index.json", "several shards"),
    ],
)
def test_weights_of_another_kind_are_refused_by_name(tmp_path, name, why):
    (tmp_path / name).write_bytes(b"cos\nsystem\n(S'touch executed'\ntR.")
    with pytest.raises(InputError) as error:
        open_weights(tmp_path)
    message = str(error.value)
    assert name in message
    assert why in message
    assert "convert the weights to safetensors" in message


def test_a_directory_without_weights_is_refused(tmp_path):
    with pytest.raises(InputError, match="no model.safetensors"):
        open_weights(tmp_path)
