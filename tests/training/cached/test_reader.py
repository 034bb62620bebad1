import types

import numpy as np

from tlj.models.activations import FromDepth
from tlj.training.cached.activation_file import ActivationFile, Layout
from tlj.training.cached.reader import CachedReader, StandIn

LENGTHS = np.array([2, 1, 4, 3])


class Padded:
    """Stands for a reader of text in two lengths."""

    lengths = LENGTHS
    preprocessing = types.SimpleNamespace(padding=0)

    def __init__(self, masks=True):
        self.masks = masks

    def batch(self, indices, rows=slice(None)):
        longest = 2 if LENGTHS[indices].max() <= 2 else 4
        mask = (np.arange(longest) < LENGTHS[indices[rows], None]).astype(np.int32)
        return {"input_ids": 7 * mask, **({"attention_mask": mask} if self.masks else {})}


def reader(rows, base=None, ragged=False, masked=False):
    return CachedReader(base, rows, np.array([3, 1, 4, 1]), FromDepth(1), ragged, masked, True, False)


def test_a_batch_is_padded_to_the_length_that_it_has_without_the_cache(tmp_path):
    file = ActivationFile(tmp_path, Layout((3,), 4, items=LENGTHS))
    content = np.random.default_rng(0).standard_normal((4, 4, 3)).astype(np.float32)
    file.write(np.arange(4), content)
    for masks in (True, False):
        own = reader(file, Padded(masks), ragged=True, masked=True)
        short, long = own.batch(np.array([0, 1])), own.batch(np.array([0, 2, 1]), slice(0, 2))
        assert (short["activations"].shape, long["activations"].shape) == ((2, 2, 3), (2, 4, 3))
        np.testing.assert_array_equal(long["attention_mask"], [[1, 1, 0, 0], [1, 1, 1, 1]])
        np.testing.assert_array_equal(long["activations"][1], content[2])
        np.testing.assert_array_equal(short["label"], [3, 1])


def test_a_view_has_the_label_of_its_example(tmp_path):
    file = ActivationFile(tmp_path, Layout((2,), 12))
    content = np.arange(24, dtype=np.float32).reshape(12, 2)
    file.write(np.arange(12), content)
    batch = reader(file).batch(np.array([2, 4 + 2, 8 + 3]))
    np.testing.assert_array_equal(batch["label"], [4, 4, 1])
    np.testing.assert_array_equal(batch["activations"], content[[2, 6, 11]])


def test_noise_stands_in_for_rows_of_any_length():
    rows = StandIn((3,), np.dtype(np.float32))
    assert rows.fixed(np.arange(2)).shape == (2, 3)
    assert rows.padded(np.arange(2), 5).shape == (2, 5, 3)
    assert np.std(rows.padded(np.arange(9), 50)) > 0.9
