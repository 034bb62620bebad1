"""Arrays of npz files, and what hides in them."""

import io
import itertools
import pathlib
import struct
import tracemalloc
import zipfile

import ml_dtypes
import numpy as np
import pytest

from tlj.errors import InputError
from tlj.pretrained.files.npz_file import open_npz

TYPES = ["float64", "float32", "float16", "int64", "int32", "uint8", "bool", ">f4", ">i8", ml_dtypes.bfloat16]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "weights.npz"


def npy(header: str, values: bytes = b"", version: int = 1) -> bytes:
    """A member of an npz file whose header is written as it is given."""
    length = struct.pack("<H" if version == 1 else "<I", len(header) + 1)
    return b"\x93NUMPY" + bytes([version, 0]) + length + header.encode() + b"\n" + values


def header(descr="'<f4'", shape="(2,)", order="False") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


def write(path: pathlib.Path, **members: bytes) -> pathlib.Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name + ".npy", content)
    return path


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_every_type_of_array_is_read_as_it_was_saved(path, dtype, save):
    values = (np.arange(24).reshape(2, 3, 4) % 2).astype(dtype)
    expected = {"a/b.c": values, "columns": np.asfortranarray(values), "scalar": values[0, 0, 1], "none": values[:0]}
    save(path, **expected)
    found = open_npz(path)
    assert list(found) == list(expected)
    for name, saved in expected.items():
        assert found[name].shape == found[name].read().shape == saved.shape
        assert found[name].dtype == found[name].read().dtype == np.dtype(dtype).newbyteorder("=")
        assert np.array_equal(found[name].read(), saved)


def test_values_are_read_only_when_they_are_asked_for(path):
    np.savez(path, large=np.zeros((1000, 1000), np.float32), small=np.ones(3))
    tracemalloc.start()
    found = open_npz(path)
    assert tracemalloc.get_traced_memory()[1] < 10**6
    assert found["small"].read().sum() == 3
    assert tracemalloc.get_traced_memory()[1] < 10**6
    tracemalloc.stop()


class Bomb:
    """An object whose unpickling would be noticed."""

    def __reduce__(self):
        return pathlib.Path.touch, (pathlib.Path("unpickled"),)


def test_a_pickle_inside_is_refused_and_not_executed(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez(path, good=np.ones(3), bad=np.array([Bomb()], dtype=object))
    with pytest.raises(InputError, match="'bad' is an array of objects: a pickle inside.*not opened"):
        open_npz(path)
    assert not (tmp_path / "unpickled").exists()


def test_a_record_with_an_object_in_it_is_a_pickle_too(path):
    np.savez(path, bad=np.array([(1, Bomb())], dtype=[("number", "i4"), ("object", "O")]))
    with pytest.raises(InputError, match="'bad' is an array of objects"):
        open_npz(path)


def test_a_member_that_is_no_array_is_not_opened(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02.")
    with pytest.raises(InputError, match="holds 'archive/data.pkl', which is not an array and is not opened"):
        open_npz(path)


@pytest.mark.parametrize("values", [np.array(["text"]), np.zeros(2, "datetime64[s]"), np.zeros(2, "f4,f4")])
def test_what_is_no_number_is_refused_by_name(path, values):
    np.savez(path, words=values)
    with pytest.raises(InputError, match="'words' holds .*, which is not supported"):
        open_npz(path)


@pytest.mark.parametrize(
    ("member", "told"),
    [
        (npy(header(shape="(-2,)"), bytes(8)), "'a' has the impossible shape"),
        (npy(header(shape=f"({2**40}, {2**20})"), bytes(8)), "'a' has the impossible shape"),
        (npy(header(shape=f"(0, {2**62})")), "'a' has the impossible shape"),
        (npy(header(shape="(True, 2)"), bytes(8)), "'a' has the impossible shape"),
        (npy(header(shape="(3,)"), bytes(8)), "'a' has 8 bytes, too many or too few"),
        (npy(header(shape="(1,)"), bytes(8)), "'a' has 8 bytes, too many or too few"),
        (npy(header(shape="(1000000, 1000000)"), bytes(8)), "'a' has 8 bytes, too many or too few"),
        (npy(header(shape="'x'"), bytes(8)), "'a': "),
        (npy(header(shape="__import__('os').getcwd()"), bytes(8)), "'a': "),
        (npy(header(descr="()"), bytes(8)), "'a': "),
        (npy(header(descr="'nonsense'"), bytes(8)), "'a': "),
        (npy(header(shape="(" * 5000), bytes(8)), "'a': "),
        (npy("-" * 9000 + "1"), "'a': "),
        (npy("{" * 9000), "'a': "),
        (npy(header() + " " * 60_000, bytes(8)), "'a': Header info length"),
        (npy(header(), bytes(8), version=3), "version"),
        (b"\x80\x04K\x01.", "'a': "),
        (b"", "'a': "),
    ],
    ids=itertools.count(),
)
def test_a_header_that_lies_is_refused(path, member, told):
    with pytest.raises(InputError, match=told) as refused:
        open_npz(write(path, a=member))
    assert refused.value.where == str(path)


def test_a_header_of_gigabytes_of_nothing_is_not_unpacked(path):
    content = b"\x93NUMPY\x02\x00" + struct.pack("<I", 10**8) + b" " * 10**8
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", content)
    tracemalloc.start()
    with pytest.raises(InputError, match="'a': "):
        open_npz(path)
    assert tracemalloc.get_traced_memory()[1] < 10**7
    tracemalloc.stop()


def edited(path: pathlib.Path, old: bytes, new: bytes) -> None:
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))


def test_a_member_that_claims_more_than_can_be_packed_is_refused(path):
    size = len(npy(header(shape="(1000000,)"))) + 4 * 10**6
    write(path, a=npy(header(shape="(1000000,)"), bytes(8)))
    small = struct.pack("<I", len(npy(header(shape="(1000000,)"), bytes(8))))
    edited(path, small + small, small + struct.pack("<I", size))
    with pytest.raises(InputError, match="'a' is packed in a way"):
        open_npz(path)


def test_a_packed_member_that_ends_early_is_no_array_half_read(path):
    short = npy(header(shape="(100,)"), bytes(8))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", short)
    edited(path, struct.pack("<I", len(short)), struct.pack("<I", len(short) + 392))
    with pytest.raises(InputError, match="array 'a' cannot be read: it is cut short"):
        open_npz(path)["a"].read()


def test_members_that_share_their_bytes_are_refused(path):
    member = npy(header(shape="(1000,)"), bytes(4000))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", member)
        # The directory of the archive names the one member again and again.
        for name in "bcd":
            again = zipfile.ZipInfo(f"{name}.npy")
            again.file_size = again.compress_size = len(member)
            again.CRC, again.header_offset = archive.getinfo("a.npy").CRC, 0
            archive.filelist.append(again)
        archive._didModify = True
    with pytest.raises(InputError, match="claim more bytes than the file has"):
        open_npz(path)


def test_two_members_of_one_name_are_refused(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", npy(header(), bytes(8)))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.npy", npy(header(), bytes(8)))
    with pytest.raises(InputError, match="'a' is there twice"):
        open_npz(path)


def test_a_changed_value_is_found_by_its_checksum(path):
    np.savez(path, a=np.full(20_000, 1.5))
    edited(path, np.full(3, 1.5).tobytes(), np.full(3, 2.5).tobytes())
    with pytest.raises(InputError, match="array 'a' cannot be read: Bad CRC-32"):
        open_npz(path)["a"].read()


@pytest.mark.parametrize("kept", [3, 100, 4000, -1])
def test_a_truncated_file_is_refused(path, kept):
    np.savez(path, a=np.ones(1000))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match="not an npz file that can be read"):
        open_npz(path)


def test_a_file_cut_after_it_was_opened_is_an_error(path):
    np.savez(path, a=np.ones(5000), b=np.ones(5000))
    found = open_npz(path)["b"]
    with path.open("r+b") as opened:
        opened.truncate(100)
    with pytest.raises(InputError, match="array 'b' cannot be read"):
        found.read()


def test_an_array_of_numpy_alone_is_no_npz_file(path):
    content = io.BytesIO()
    np.save(content, np.ones(3))
    path.write_bytes(content.getvalue())
    with pytest.raises(InputError, match="not an npz file"):
        open_npz(path)
