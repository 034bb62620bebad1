"""Corruptions of what a safetensors, a msgpack or an npz file says of itself, and the choice of one by a seed."""

from __future__ import annotations

import io
import json
import pathlib
import random
import re
import struct
import zipfile
from collections.abc import Callable

import flax.serialization
import msgpack
import numpy as np
from corruptions import (
    ANYWHERE,
    Corruption,
    cut_out,
    flipped_bits,
    flipped_bits_at_the_start,
    lengthened,
    not_finite,
    spliced,
    truncated,
    zeroed,
)

SIZES = (-1, -(2**31), 0, 1, 3, 2**15, 2**31 - 1, 2**32, 2**40, 2**62, 2**63 - 1, True, 2.5, "4", None, [1])


class Unpickled:
    """An object whose unpickling leaves a file behind, beside the checkpoint."""

    def __reduce__(self):
        return pathlib.Path.touch, (pathlib.Path("unpickled"),)


def _header_edited(edit: Callable[[dict, random.Random], object]) -> Corruption:
    """Of a safetensors file: its header changed as JSON, with the true length of the new one before it."""

    def corruption(content: bytes, rng: random.Random) -> bytes:
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        edit(header, rng)
        text = json.dumps(header).encode()
        return struct.pack("<Q", len(text)) + text + content[8 + length :]

    corruption.__name__ = edit.__name__
    return corruption


def _any_array(header: dict, rng: random.Random) -> str:
    return rng.choice([name for name in header if name != "__metadata__"])


def header_shape(header: dict, rng: random.Random) -> None:
    shape = header[_any_array(header, rng)]["shape"]
    shape[rng.randrange(len(shape))] = rng.choice(SIZES)


def header_offsets(header: dict, rng: random.Random) -> None:
    offsets = header[_any_array(header, rng)]["data_offsets"]
    offsets[rng.randrange(2)] = rng.choice([*SIZES, offsets[0], offsets[1] + 4])


def header_overlap(header: dict, rng: random.Random) -> None:
    header[_any_array(header, rng)]["data_offsets"] = header[_any_array(header, rng)]["data_offsets"]


def header_type(header: dict, rng: random.Random) -> None:
    types = ["F64", "F32", "F16", "BF16", "I32", "I64", "U8", "BOOL", "F8_E4M3", "F4", "C64", "O", "", None, 3, "|O"]
    header[_any_array(header, rng)]["dtype"] = rng.choice(types)


def header_type_of_the_same_width(header: dict, rng: random.Random) -> None:
    header[_any_array(header, rng)]["dtype"] = rng.choice(["I32", "U32"])


def header_name(header: dict, rng: random.Random) -> None:
    told = header.pop(_any_array(header, rng))
    header[rng.choice(["../../weight", "/etc/passwd", "", "a\nb\x1b[2J", "x" * 10_000, "__metadata__"])] = told


def header_entry_missing(header: dict, rng: random.Random) -> None:
    name = _any_array(header, rng)
    if rng.random() < 0.5:
        del header[name]
    else:
        del header[name][rng.choice(["dtype", "shape", "data_offsets"])]


def header_extra(header: dict, rng: random.Random) -> None:
    header["extra"] = rng.choice([{"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}, [], 3, {}])


def header_length(content: bytes, rng: random.Random) -> bytes:
    length = int.from_bytes(content[:8], "little")
    return struct.pack("<Q", rng.choice([0, 1, length - 1, length + 1, 10**8 + 1, 2**40, 2**64 - 1])) + content[8:]


def header_deep(content: bytes, rng: random.Random) -> bytes:
    text = b'{"a":' * rng.choice([100, 5000, 100_000])
    return struct.pack("<Q", len(text)) + text + content


def _packed_tree_edited(edit: Callable[[dict, str, random.Random], object]) -> Corruption:
    """Of a msgpack file: the map that holds one of its arrays changed, packed as it then is."""

    def corruption(content: bytes, rng: random.Random) -> bytes:
        tree = msgpack.unpackb(content)
        parent, key = tree, rng.choice(list(tree))
        while isinstance(parent[key], dict) and parent[key]:
            parent, key = parent[key], rng.choice(list(parent[key]))
        edit(parent, key, rng)
        return msgpack.packb(tree)

    corruption.__name__ = edit.__name__
    return corruption


def packed_array(parent: dict, key: str, rng: random.Random) -> None:
    array = msgpack.unpackb(parent[key].data)
    part = rng.randrange(3)
    if part == 0 and array[0]:
        array[0][rng.randrange(len(array[0]))] = rng.choice(SIZES)
    elif part == 1:
        array[1] = rng.choice(["object", "O", "float64", "float16", "int32", "f4,f4", "", 3, "V4", "complex64", b"<f4"])
    else:
        array[2] = rng.choice([b"", array[2][:-1], array[2] + b"x", "text", 3, array[2] * 2])
    parent[key] = msgpack.ExtType(1, msgpack.packb(array))


def packed_other_type(parent: dict, key: str, rng: random.Random) -> None:
    other = ["text", b"bytes", None, [1, 2], 3, 1.5, {}, msgpack.ExtType(2, b"\x92\x01\x02"), msgpack.ExtType(77, b"x")]
    parent[key] = rng.choice([*other, msgpack.Timestamp(1), msgpack.ExtType(3, parent[key].data)])


def packed_deep(parent: dict, key: str, rng: random.Random) -> None:
    for _ in range(rng.choice([10, 100, 400])):
        parent[key] = rng.choice([{"a": parent[key]}, {"a": 1, "b": parent[key]}])


def packed_name(parent: dict, key: str, rng: random.Random) -> None:
    names = ["../x", "", "a/b", "x" * 10_000, 7, b"raw", 1.5, None, True, "a\nb\x1b[2J"]
    parent[rng.choice(names)] = parent.pop(key)


def packed_pieces(parent: dict, key: str, rng: random.Random) -> None:
    size, pieces = rng.choice(SIZES), rng.choice([{}, {"0": parent[key]}, {"1": parent[key]}, 3, [parent[key]]])
    shape = rng.choice([{"0": size}, {}, [size], {"0": 8, "1": size}])
    parent[key] = {"__msgpack_chunked_array__": True, "shape": shape, "chunks": pieces}


def packed_in_true_pieces(parent: dict, key: str, rng: random.Random) -> None:
    array = flax.serialization.msgpack_restore(msgpack.packb({"a": parent[key]}))["a"].reshape(-1)
    cut = rng.randrange(array.size + 1)
    pieces = msgpack.unpackb(flax.serialization.msgpack_serialize({"0": array[:cut], "1": array[cut:]}))
    shape = msgpack.unpackb(parent[key].data)[0]
    told = {str(axis): length for axis, length in enumerate(shape)}
    parent[key] = {"__msgpack_chunked_array__": True, "shape": told, "chunks": pieces}


def deep_nesting(content: bytes, rng: random.Random) -> bytes:
    opening = rng.choice([b"\x81\xa1a", b"\x91", b"\x81\x91", b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff\xa1a"])
    return opening * rng.choice([64, 65, 2000, 100_000]) + rng.choice([b"", content])


def a_count_changed(content: bytes, rng: random.Random) -> bytes:
    """Where a byte opens a map before a name, or an array of Flax, it is another byte."""
    openings = re.finditer(rb"[\x80-\x8f](?=[\xa1-\xbf]\w)|[\xc7-\xc9](?=.{1,5}\x93)", content, re.DOTALL)
    place = rng.choice([opening.start() for opening in openings])
    return content[:place] + bytes([rng.randrange(256)]) + content[place + 1 :]


def _member_edited(edit: Callable[[bytes, random.Random], bytes]) -> Corruption:
    """Of an npz file: one member changed and the archive written anew, so that its checksums hold."""

    def corruption(content: bytes, rng: random.Random) -> bytes:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        name = rng.choice(list(members))
        members[name] = edit(members[name], rng)
        if rng.random() < 0.2:
            members[rng.choice(["../x.npy", "/x.npy", "x.pkl", ".npy", "a\nb.npy"])] = members.pop(name)
        written = io.BytesIO()
        with zipfile.ZipFile(written, "w", rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as archive:
            for name, member in members.items():
                archive.writestr(name, member)
        return written.getvalue()

    corruption.__name__ = edit.__name__
    return corruption


def _saved(array: np.ndarray) -> bytes:
    written = io.BytesIO()
    np.save(written, array, allow_pickle=True)
    return written.getvalue()


def member_pickled(member: bytes, rng: random.Random) -> bytes:
    del member
    bad = np.array([Unpickled()], dtype=object)
    records = np.array([(1, Unpickled())], dtype=[("a", "i4"), ("b", "O")])
    return rng.choice([_saved(bad), _saved(records), _saved(bad)[80:], bytes(bad.dumps())])


def member_header(member: bytes, rng: random.Random) -> bytes:
    shape = tuple(rng.choice(SIZES) for _ in range(rng.choice([0, 1, 2, 40])))
    types = ["'<f4'", "'>f4'", "'|O'", "'<f8'", "'|V2'", "'<U9999'", "'|V0'", "[('a', '<f4')]", "()", "3", "'<f4',"]
    told = (
        f"{{'descr': {rng.choice(types)}, 'fortran_order': {rng.choice(['True', 'False', '1'])}, 'shape': {shape}}}\n"
    )
    values = member[10 + int.from_bytes(member[8:10], "little") :]
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(told)) + told.encode() + values


def member_header_code(member: bytes, rng: random.Random) -> bytes:
    code = ["__import__('os').system('touch unpickled')", "(" * 9000, "-" * 9000 + "1", "{" * 200, "'" * 9001, "\\N{"]
    told = rng.choice(code) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(told)) + told.encode() + member[128:]


def member_version(member: bytes, rng: random.Random) -> bytes:
    return b"\x93NUMPY" + rng.choice([b"\x02\x00", b"\x03\x00", b"\x00\x00", b"\xff\xff"]) + member[8:]


def member_damaged(member: bytes, rng: random.Random) -> bytes:
    return rng.choice([flipped_bits, truncated, zeroed, lengthened, flipped_bits_at_the_start, not_finite])(member, rng)


def directory_damaged(content: bytes, rng: random.Random) -> bytes:
    start = content.index(b"PK\x01\x02")
    damage = rng.choice([flipped_bits, zeroed, spliced, cut_out])
    return content[:start] + damage(content[start:], rng)


def local_header_damaged(content: bytes, rng: random.Random) -> bytes:
    starts = [i for i in range(len(content) - 4) if content[i : i + 4] == b"PK\x03\x04"]
    place = rng.choice(starts) + rng.randrange(30)
    return content[:place] + bytes([rng.randrange(256)]) + content[place + 1 :]


_HEADER_EDITS = (
    *(header_shape, header_offsets, header_overlap, header_type, header_type_of_the_same_width, header_name),
    *(header_entry_missing, header_extra),
)
_TREE_EDITS = (packed_array, packed_other_type, packed_deep, packed_name, packed_pieces, packed_in_true_pieces)
_MEMBER_EDITS = (member_pickled, member_header, member_header_code, member_version, member_damaged)
OF_KIND: dict[str, list[Corruption]] = {
    "safetensors": [*map(_header_edited, _HEADER_EDITS), header_length, header_deep],
    "msgpack": [*map(_packed_tree_edited, _TREE_EDITS), deep_nesting, a_count_changed],
    "npz": [*map(_member_edited, _MEMBER_EDITS), directory_damaged, local_header_damaged],
}


def corrupted(kind: str, content: bytes, seed: int) -> tuple[str, bytes]:
    """Returns the name of the corruption of this seed and what it makes of a file's content."""
    rng = random.Random(f"{kind} {seed}")
    choices = [*ANYWHERE, *OF_KIND[kind]] if seed % 2 else OF_KIND[kind]
    chosen = choices[seed // 2 % len(choices)]
    return chosen.__name__, chosen(content, rng)
