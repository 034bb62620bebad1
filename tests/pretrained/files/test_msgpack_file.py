"""Arrays of msgpack files as Flax writes them."""

import flax.serialization
import jax.numpy as jnp
import ml_dtypes
import msgpack
import numpy as np
import pytest

from tlj.errors import InputError
from tlj.pretrained.files.msgpack_file import open_msgpack

TYPES = ["float64", "float32", "float16", "int64", "int32", "int8", "uint8", "bool", "complex64", ml_dtypes.bfloat16]


@pytest.fixture
def write(tmp_path):
    def write(tree):
        path = tmp_path / "flax_model.msgpack"
        path.write_bytes(tree if isinstance(tree, bytes) else flax.serialization.msgpack_serialize(tree))
        return path

    return write


def array(shape, dtype="float32", values=bytes(8)):
    return msgpack.ExtType(1, msgpack.packb((shape, dtype, values)))


@pytest.mark.parametrize("dtype", TYPES)
def test_every_type_of_array_is_read_as_it_was_saved(write, dtype):
    values = (np.arange(24).reshape(2, 3, 4) % 2).astype(dtype)
    found = open_msgpack(write({"a": {"b": values, "none": values[:0]}, "c": values[0, 0, 1]}))
    assert list(found) == ["a/b", "a/none", "c"]
    for name, expected in {"a/b": values, "a/none": values[:0], "c": values[0, 0, 1]}.items():
        assert found[name].name == name
        assert found[name].shape == found[name].read().shape == expected.shape
        assert found[name].dtype == found[name].read().dtype == np.dtype(dtype)
        assert found[name].read().tobytes() == expected.tobytes()


def test_arrays_of_jax_and_plain_numbers_are_read(write):
    found = open_msgpack(write({"weight": jnp.arange(3, dtype=jnp.bfloat16), "step": 7, "rate": 0.25}))
    assert found["weight"].read().tolist() == [0, 1, 2]
    assert found["step"].read() == 7
    assert found["rate"].read() == 0.25


@pytest.mark.parametrize("dtype", ["float32", ml_dtypes.bfloat16])
def test_an_array_that_flax_cut_into_pieces_is_made_whole(write, monkeypatch, dtype):
    monkeypatch.setattr(flax.serialization, "MAX_CHUNK_SIZE", 64)
    values = np.arange(105).reshape(3, 5, 7).astype(dtype)
    path = write({"deep": {"large": values}, "small": values[0, 0]})
    assert b"__msgpack_chunked_array__" in path.read_bytes()
    found = open_msgpack(path)
    assert found["deep/large"].shape == (3, 5, 7)
    assert found["deep/large"].dtype == np.dtype(dtype)
    assert np.array_equal(found["deep/large"].read(), values)
    assert np.array_equal(found["small"].read(), values[0, 0])


def chunked(shape=None, **pieces):
    return {"__msgpack_chunked_array__": True, "shape": shape or {"0": 4}, "chunks": pieces}


@pytest.mark.parametrize(
    "value",
    [
        {"__msgpack_chunked_array__": True},
        chunked(),
        chunked({"0": 4}),
        chunked({"1": 4}, **{"0": array([2]), "1": array([2])}),
        chunked({"0": 5}, **{"0": array([2]), "1": array([2])}),
        chunked({"0": -4}, **{"0": array([2]), "1": array([2])}),
        chunked({"0": 4}, **{"0": array([2]), "2": array([2])}),
        chunked({"0": 4}, **{"0": array([2]), "1": array([2], "int32")}),
        chunked({"0": 4}, **{"0": array([2]), "1": 3}),
        chunked({"0": True}, **{"0": array([1], values=bytes(4))}),
    ],
)
def test_pieces_that_do_not_make_an_array_are_refused(write, value):
    with pytest.raises(InputError, match="'large'.* (pieces|impossible)|pieces of 'large'"):
        open_msgpack(write(msgpack.packb({"large": value})))


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (array([3]), "'a' has 8 bytes, too many or too few"),
        (array([-2]), r"'a' has the impossible shape \(-2,\)"),
        (array([2**40, 2**20]), "'a' has the impossible shape"),
        (array([0, 2**62], values=b""), "'a' has the impossible shape"),
        (array([1], "object"), "'a' holds 'object', which is not supported"),
        (array([1], "O"), "'a' holds 'O'"),
        (array([2], "f4,f4"), "'a' holds 'f4,f4'"),
        (array([1], "str64"), "'a' holds 'str64'"),
        ("text", "'a' is neither an array nor a number"),
    ],
)
def test_an_array_that_lies_is_refused_by_name(write, value, told):
    path = write(msgpack.packb({"a": value}))
    with pytest.raises(InputError, match=told) as refused:
        open_msgpack(path)
    assert refused.value.where == str(path)


def test_two_arrays_of_one_name_are_refused(write):
    with pytest.raises(InputError, match="'a/b' is there twice"):
        open_msgpack(write({"a": {"b": np.zeros(1)}, "a/b": np.ones(1)}))


def test_a_file_cut_after_it_was_opened_is_an_error_and_no_crash(write):
    path = write({"a": np.ones(5000, np.float32)})
    found = open_msgpack(path)["a"]
    with path.open("r+b") as opened:
        opened.truncate(100)
    with pytest.raises(InputError, match="'a' lies beyond the end"):
        found.read()
