"""What is refused before any format is read, and arrays mapped out of files."""

import os
import pathlib

import numpy as np
import pytest

from tlj.errors import InputError
from tlj.pretrained.files.msgpack_file import open_msgpack
from tlj.pretrained.files.npz_file import open_npz
from tlj.pretrained.files.safetensors_file import open_safetensors, open_sharded
from tlj.pretrained.files.weight_file import map_array, quoted, stored_bytes, weight_file_size

OPENERS = [open_safetensors, open_sharded, open_msgpack, open_npz]


@pytest.fixture(params=OPENERS, ids=lambda opener: opener.__name__)
def opener(request):
    return request.param


@pytest.fixture
def written(tmp_path):
    def write(content: bytes) -> pathlib.Path:
        path = tmp_path / "weights"
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "Git LFS pointer"),
        (b"\n<!DOCTYPE html><html><body>Not found</body></html>", "web page"),
        (b'{"error": "Repository not found"}', "error message of a server"),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "a pickle"),
        (b"\x1f\x8b\x08\x00" + bytes(60), "compressed with gzip"),
    ],
)
def test_what_is_mistaken_for_weights_is_called_by_its_name(opener, written, content, told):
    path = written(content)
    with pytest.raises(InputError, match=told) as refused:
        opener(path)
    assert refused.value.where == str(path)


@pytest.mark.parametrize("opener", [open_safetensors, open_msgpack])
def test_the_zip_archive_of_torch_is_not_opened(opener, written):
    with pytest.raises(InputError, match="zip archive; torch.save makes such a one around a pickle"):
        opener(written(b"PK\x03\x04" + bytes(100)))


def test_an_empty_file_a_directory_and_nothing_are_refused(opener, written, tmp_path):
    with pytest.raises(InputError, match="the file is empty"):
        opener(written(b""))
    with pytest.raises(InputError, match="not a file"):
        opener(tmp_path)
    with pytest.raises(InputError, match="cannot be read: No such file"):
        opener(tmp_path / "absent")


def test_a_pipe_is_refused_rather_than_waited_for(opener, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="not a plain file"):
        opener(tmp_path / "pipe")


def test_a_file_without_permission_is_refused(opener, written):
    path = written(b"secret")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read every file")
    with pytest.raises(InputError, match="Permission denied"):
        opener(path)


def test_the_size_of_a_file_is_in_bytes(written):
    assert weight_file_size(written(b"12345")) == 5


@pytest.mark.parametrize("shape", [(-1, 4), (2**31, 2**31), (0, 2**62), (True, 2), (2.0,), (1,) * 33])
def test_a_shape_that_no_array_has_is_refused_by_name(shape):
    with pytest.raises(InputError, match="'kernel' has the impossible shape"):
        stored_bytes(pathlib.Path("file"), "kernel", shape, np.dtype("float32"))


def test_a_long_or_unprintable_name_is_shown_short_and_escaped():
    assert quoted("a\x1b[2J") == r"'a\x1b[2J'"
    assert len(quoted("x" * 10_000)) < 200


def test_an_array_is_mapped_at_any_offset_and_cannot_be_written(written):
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    path = written(b"abc" + values.tobytes())
    found = map_array(path, "kernel", values.dtype, (3, 4), 3)
    assert np.array_equal(found, values)
    assert not found.flags.writeable
    assert map_array(path, "empty", values.dtype, (0, 4), 3).shape == (0, 4)
    assert map_array(path, "scalar", values.dtype, (), 7) == 1


def test_an_array_beyond_the_end_of_the_file_is_refused_instead_of_mapped(written):
    path = written(bytes(16))
    with pytest.raises(InputError, match="'kernel' lies beyond the end"):
        map_array(path, "kernel", np.dtype("float32"), (4,), 4)
    path.unlink()
    with pytest.raises(InputError, match="'kernel' cannot be read"):
        map_array(path, "kernel", np.dtype("float32"), (4,), 0)
