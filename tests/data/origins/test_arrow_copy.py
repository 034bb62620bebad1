"""Tables kept in the cache."""

import os

import pyarrow as pa
import pytest

from tlj.data.cache import cache_folder
from tlj.data.origins.arrow_copy import arrow_copy, file_state


@pytest.fixture
def batches():
    def read():
        read.times += 1
        yield from pa.table({"a": list(range(10))}).to_batches(max_chunksize=4)

    read.times = 0
    return read


def test_a_table_is_read_once(batches):
    first, again = arrow_copy(("x", 1), batches), arrow_copy(("x", 1), batches)
    assert first.column("a").to_pylist() == again.column("a").to_pylist() == list(range(10))
    assert batches.times == 1
    arrow_copy(("x", 2), batches)
    assert batches.times == 2


@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_a_damaged_copy_is_made_again(batches, share):
    arrow_copy("x", batches)
    (file,) = cache_folder("tables").iterdir()
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    assert arrow_copy("x", batches).num_rows == 10
    assert batches.times == 2


def test_no_rows_make_no_copy():
    assert arrow_copy("x", list) is None


def test_the_state_of_a_file_tells_a_change(written):
    file = written("a", "abc")
    before = file_state(file)
    assert file_state(os.path.join(file.parent, ".", "a")) == before
    os.utime(file, ns=(1, 1))
    assert file_state(file) != before
