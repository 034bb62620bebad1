import os
import pickle
import threading

import numpy as np
import pytest

from tlj.training.cached.activation_file import ActivationFile, Layout

RAGGED = Layout((3,), 4, items=np.array([2, 1, 4, 3]))


def values(rows, *shape, seed=0):
    return np.random.default_rng(seed).standard_normal((rows, *shape)).astype(np.float32)


def test_rows_are_there_once_they_are_written_also_for_another_process(tmp_path):
    file, content = ActivationFile(tmp_path, Layout((2, 3), 6)), values(2, 2, 3)
    np.testing.assert_array_equal(file.missing(np.arange(6)), np.arange(6))
    file.write(np.array([4, 1]), content)
    for opened in (file, ActivationFile(tmp_path, Layout((2, 3), 6)), pickle.loads(pickle.dumps(file))):
        np.testing.assert_array_equal(opened.missing(np.arange(6)), [0, 2, 3, 5])
        np.testing.assert_array_equal(opened.fixed(np.array([1, 4])), content[::-1])


def test_of_a_text_its_own_tokens_are_kept_and_no_padding(tmp_path):
    file, content = ActivationFile(tmp_path, RAGGED), values(4, 4, 3)
    file.write(np.arange(4), content)
    assert os.stat(tmp_path / "rows.raw").st_size == file.bytes_on_disk() == 10 * 3 * 4
    padded = file.padded(np.array([2, 0]), 5)
    assert padded.shape == (2, 5, 3)
    np.testing.assert_array_equal(padded[0, :4], content[2])
    np.testing.assert_array_equal(padded[1, :2], content[0, :2])
    assert not padded[1, 2:].any()


def test_bfloat16_takes_half_and_rounds(tmp_path):
    layout = Layout((5,), 3, "bfloat16")
    file, content = ActivationFile(tmp_path, layout), values(3, 5)
    file.write(np.arange(3), content)
    kept = file.fixed(np.arange(3))
    assert kept.dtype.name == "bfloat16"
    assert layout.bytes_of(np.arange(3)) == content.nbytes // 2 == file.bytes_on_disk()
    np.testing.assert_allclose(kept.astype(np.float32), content, rtol=2**-8)


@pytest.mark.parametrize("damage", ["rows", "cut", "checksums"])
def test_a_damaged_row_is_made_again_and_no_other(tmp_path, damage):
    layout = Layout((4,), 5)
    ActivationFile(tmp_path, layout).write(np.arange(5), values(5, 4))
    if damage == "cut":
        os.truncate(tmp_path / "rows.raw", 4 * 4 * 4)
    else:
        name, offset = ("rows.raw", 4 * 4 * 4) if damage == "rows" else ("checksums.raw", 4 * 4)
        with open(tmp_path / name, "r+b") as opened:
            opened.seek(offset)
            opened.write(b"\x01\x02")
    again = ActivationFile(tmp_path, layout)
    np.testing.assert_array_equal(again.missing(np.arange(5)), [4])
    again.write(np.array([4]), values(1, 4, seed=1))
    assert not len(ActivationFile(tmp_path, layout).missing(np.arange(5)))


def test_a_row_of_zeros_is_a_row(tmp_path):
    file = ActivationFile(tmp_path, Layout((4,), 2))
    file.write(np.array([0]), np.zeros((1, 4), np.float32))
    np.testing.assert_array_equal(ActivationFile(tmp_path, Layout((4,), 2)).missing(np.arange(2)), [1])


def test_whoever_waits_finds_what_was_written_meanwhile(tmp_path):
    first, second = (ActivationFile(tmp_path, Layout((4,), 2)) for _ in range(2))
    missing = []

    def look():
        with second.alone():
            missing.append(len(second.missing(np.arange(2))))

    waiting = threading.Thread(target=look)
    with first.alone():
        waiting.start()
        first.write(np.arange(2), values(2, 4))
    waiting.join()
    assert missing == [0]


def test_what_it_cost_adds_up(tmp_path):
    file = ActivationFile(tmp_path, Layout((4,), 2))
    assert file.facts == {}
    file.charge(seconds=1.5, examples=2)
    file.charge(seconds=0.5, examples=1)
    assert ActivationFile(tmp_path, Layout((4,), 2)).facts == {"seconds": 2.0, "examples": 3}


def test_a_file_that_was_deleted_is_not_there(tmp_path):
    file = ActivationFile(tmp_path, Layout((4,), 2))
    assert file.is_there()
    (tmp_path / "rows.raw").unlink()
    assert not file.is_there()
