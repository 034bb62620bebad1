"""Safetensors files, one or several under an index."""

import itertools
import json
import struct

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from tlj.errors import InputError
from tlj.pretrained.files.safetensors_file import open_safetensors, open_sharded

TYPES = ["float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "uint64", "bool"]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def write_raw(path, header, data=b""):
    """A file whose header is written as it is given."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


@pytest.mark.parametrize("dtype", [*TYPES, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2])
def test_every_type_of_array_is_read_as_it_was_saved(path, dtype):
    values = (np.arange(24).reshape(2, 3, 4) % 2).astype(dtype)
    save_file({"a": values, "scalar": values[0, 0, 1:2].reshape(()), "none": values[:0]}, path, {"format": "np"})
    found = open_safetensors(path)
    assert set(found) == {"a", "scalar", "none"}
    for name, expected in {"a": values, "scalar": values[0, 0, 1], "none": values[:0]}.items():
        assert found[name].shape == expected.shape
        assert found[name].dtype == found[name].read().dtype == np.dtype(dtype)
        assert found[name].read().tobytes() == expected.tobytes()


def test_values_are_views_of_the_file_and_read_only_when_asked_for(path):
    save_file({"a": np.zeros(4, np.float32)}, path)
    array = open_safetensors(path)["a"]
    content = bytearray(path.read_bytes())
    content[-4:] = np.float32(7).tobytes()
    path.write_bytes(content)
    assert array.read()[-1] == 7
    assert not array.read().flags.writeable


def test_a_file_cut_after_it_was_opened_is_an_error_and_no_crash(path):
    save_file({"a": np.ones(5000, np.float32)}, path)
    array = open_safetensors(path)["a"]
    with path.open("r+b") as opened:
        opened.truncate(100)
    with pytest.raises(InputError, match="'a' lies beyond the end"):
        array.read()


@pytest.mark.parametrize("kept", [4, 20, -1])
def test_a_truncated_file_is_refused(path, kept):
    save_file({"a": np.ones(50, np.float32)}, path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match="not a safetensors file that can be read") as refused:
        open_safetensors(path)
    assert refused.value.where == str(path)


F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    "header",
    [
        b"{" * 50_000,
        b"[]",
        b"\xff\xfe",
        {"a": 3},
        {"a": F32 | {"shape": [-2]}},
        {"a": F32 | {"shape": [2**40]}},
        {"a": F32 | {"shape": [2.0]}},
        {"a": F32 | {"shape": [0, 2**62], "data_offsets": [0, 0]}},
        {"a": F32 | {"data_offsets": [8, 0]}},
        {"a": F32 | {"data_offsets": [-8, 0]}},
        {"a": F32 | {"data_offsets": [0, 2**60]}},
        {"a": F32, "b": F32},
        {"a": F32 | {"dtype": "O"}},
        {"a": F32 | {"dtype": "I64"}},
    ],
    ids=lambda header: repr(header)[:80],
)
def test_a_header_that_lies_is_refused(path, header):
    write_raw(path, header, bytes(8))
    with pytest.raises(InputError):
        open_safetensors(path)


def test_numbers_of_fewer_than_eight_bits_are_refused_by_name(path):
    write_raw(path, {"weight": {"dtype": "F4", "shape": [4], "data_offsets": [0, 2]}}, bytes(2))
    with pytest.raises(InputError, match="'weight' is stored as 'F4', which is not supported"):
        open_safetensors(path)


@pytest.fixture
def index(tmp_path):
    """The path of an index over two files, and a function that writes another weight map into it."""
    save_file({"a": np.zeros(2, np.float32), "b": np.ones(2, np.float32)}, tmp_path / "one.safetensors")
    save_file({"c": np.full(2, 2, np.float32)}, tmp_path / "two.safetensors")
    path = tmp_path / "model.safetensors.index.json"

    def write(**changes):
        weight_map = {"a": "one.safetensors", "b": "one.safetensors", "c": "two.safetensors"} | changes
        kept = {name: file for name, file in weight_map.items() if file is not None}
        path.write_text(json.dumps({"metadata": {"total_size": 24}, "weight_map": kept}))
        return path

    return write


def test_several_files_are_read_as_one(index):
    found = open_sharded(index())
    assert {name: float(array.read()[0]) for name, array in found.items()} == {"a": 0, "b": 1, "c": 2}


@pytest.mark.parametrize(
    "file", ["../one.safetensors", "/etc/passwd", "..", ".", "deep/one.safetensors", "..\\x", "C:x", "a\0b"]
)
def test_an_index_that_climbs_out_of_its_directory_is_refused(index, file):
    with pytest.raises(InputError, match="climbs out of its directory"):
        open_sharded(index(a=file))


def test_a_file_that_is_a_link_is_followed_as_in_the_cache_of_the_hub(index, tmp_path):
    blob = tmp_path / "blobs" / "0123"
    blob.parent.mkdir()
    (tmp_path / "two.safetensors").rename(blob)
    (tmp_path / "two.safetensors").symlink_to("blobs/0123")
    assert open_sharded(index())["c"].read()[0] == 2


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (dict(c="three.safetensors"), "three.safetensors: cannot be read: No such file"),
        (dict(d="two.safetensors"), "'d' is not in 'two.safetensors'"),
        (dict(b=None), "'b' is in 'one.safetensors', the index does not name it"),
        (dict(b="two.safetensors"), "'b' is in 'one.safetensors', the index has it in 'two.safetensors'"),
        (dict(a=3), "the file of 'a' has no name"),
        (dict(a=["one.safetensors"]), "the file of 'a' has no name"),
        (dict(a=""), "the file of 'a' has no name"),
    ],
)
def test_an_index_and_files_that_disagree_are_refused(index, changes, told):
    with pytest.raises(InputError, match=told):
        open_sharded(index(**changes))


def test_an_array_in_two_files_is_refused(index, tmp_path):
    save_file({"c": np.zeros(2, np.float32), "a": np.zeros(2, np.float32)}, tmp_path / "two.safetensors")
    with pytest.raises(InputError, match="'a' is in 'two.safetensors', the index has it in 'one.safetensors'"):
        open_sharded(index())


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", "{}", '{"weight_map": []}', '{"weight_map": {}}', "[" * 100_000], ids=itertools.count()
)
def test_an_index_that_is_none_is_refused(tmp_path, text):
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(text)
    with pytest.raises(InputError, match="not an index of safetensors files|empty"):
        open_sharded(path)
