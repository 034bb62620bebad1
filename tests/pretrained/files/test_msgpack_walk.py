"""The tree of a msgpack file, walked without its arrays."""

import io
import itertools
import struct

import flax.serialization
import msgpack
import numpy as np
import pytest

from tlj.pretrained.files.msgpack_walk import ArrayPlace, walk_msgpack


class Counted(io.BytesIO):
    """Bytes that count how many of them are read."""

    total = 0

    def read(self, length=-1):
        found = super().read(length)
        self.total += len(found)
        return found


def walk(content: bytes):
    return walk_msgpack(io.BytesIO(content), len(content))


def array_extension(shape=(2,), dtype="float32", values=bytes(8), kind=1) -> msgpack.ExtType:
    return msgpack.ExtType(kind, msgpack.packb((shape, dtype, values)))


def test_an_array_is_told_by_its_place():
    values = np.arange(6, dtype=np.float16).reshape(2, 3)
    content = flax.serialization.msgpack_serialize({"a": {"b": values}, "step": 3, "rate": 0.5, "on": True})
    tree = walk(content)
    place = tree["a"]["b"]
    assert place == ArrayPlace((2, 3), "float16", place.offset, 12)
    assert content[place.offset : place.offset + place.length] == values.tobytes()
    assert (tree["step"], tree["rate"], tree["on"]) == (3, 0.5, True)


@pytest.mark.parametrize("length", [0, 1, 200, 300, 70_000])
def test_arrays_of_every_length_and_numbers_of_every_width_are_passed_over(length):
    numbers = {str(n): n for n in (0, 127, -1, -32, -33, 2**7, 2**15, 2**31, -(2**31), 2**63)}
    tree = {"a": np.zeros(length, np.uint8), "one": np.float32(1), **numbers}
    found = walk(flax.serialization.msgpack_serialize(tree))
    assert {name: found[name] for name in numbers} == numbers
    assert found["a"].length == length
    assert found["one"].shape == ()


def test_the_bytes_of_arrays_are_not_read():
    tree = {str(i): np.zeros(10**6, np.float32) for i in range(4)}
    content = flax.serialization.msgpack_serialize(tree)
    file = Counted(content)
    walk_msgpack(file, len(content))
    assert file.total < len(content) / 100


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "cut short"),
        (b"\x05", "not a map"),
        (msgpack.packb([1, 2]), "not a map"),
        (msgpack.packb({"a": [1, 2]}), "'a' is neither an array nor a number"),
        (msgpack.packb({"a": {"b": "text"}}), "'a/b' is neither an array nor a number"),
        (msgpack.packb({"a": None}), "'a' is neither"),
        (msgpack.packb({"a": b"bytes"}), "'a' is neither"),
        (msgpack.packb({1: 2}), "a key in '' is not a name"),
        (b"\x82" + 2 * (msgpack.packb("a") + b"\x01"), "is there twice"),
        (b"\x81" + b"\xa2\xff\xff" + b"\x01", "byte 1 is not what should be there"),
        (msgpack.packb({"k" * 5000: 1}), "byte 1 is not what should be there"),
        (msgpack.packb({"a": 1}) + b"\x00", "1 bytes follow the end"),
        (b"\xdf" + struct.pack(">I", 2**32 - 1), "4294967295 entries"),
        (b"\xdf" + struct.pack(">I", 1_000_001) + bytes(3_000_000), "1000001 entries"),
        (msgpack.packb({"a": array_extension(kind=2)}), "a value of another type"),
        (msgpack.packb({"a": msgpack.Timestamp(3)}), "a value of another type"),
        (msgpack.packb({"a": array_extension()})[:-1], "reaches beyond the end"),
        (msgpack.packb({"a": array_extension(shape=(2.0,))}), "not an array as Flax writes it"),
        (msgpack.packb({"a": array_extension(shape=2)}), "not an array as Flax writes it"),
        (msgpack.packb({"a": array_extension(dtype=3)}), "not an array as Flax writes it"),
        (msgpack.packb({"a": array_extension(values="text")}), "not an array as Flax writes it"),
        (msgpack.packb({"a": msgpack.ExtType(1, array_extension().data + b"x")}), "not an array as Flax writes it"),
        (msgpack.packb({"a": msgpack.ExtType(1, b"\x91" * 2000)}), "byte"),
    ],
    ids=itertools.count(),
)
def test_what_is_not_a_tree_of_arrays_is_refused(content, told):
    with pytest.raises(ValueError, match=told):
        walk(content)


@pytest.mark.parametrize("depth", [66, 10_000])
def test_maps_that_lie_too_deep_are_refused(depth):
    with pytest.raises(ValueError, match="more than 64 deep"):
        walk(b"\x81\xa1a" * depth + b"\x01")


def test_keys_that_lie_too_deep_are_refused():
    with pytest.raises(ValueError, match="byte 1 is not what should be there"):
        walk(b"\x81" + b"\x91" * 4000 + b"\x01")


def test_every_beginning_of_a_file_is_refused():
    content = flax.serialization.msgpack_serialize({"a": np.ones(3, np.float32), "b": {"c": 2**40, "d": np.zeros(2)}})
    for kept in range(len(content)):
        with pytest.raises(ValueError, match="cut short|more than there can be|beyond the end|not what should be"):
            walk(content[:kept])
