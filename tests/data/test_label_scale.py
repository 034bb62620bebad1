import pickle

import numpy as np
import pytest

from tlj.data.label_scale import LabelScale, label_scale
from tlj.errors import InputError

LABELS = np.array([100.0, 2.0, 4.0, 9.0], np.float32)


def test_the_training_part_alone_decides_the_scale():
    scale = label_scale(LABELS, np.array([1, 2, 3]))
    assert scale == LabelScale(5.0, pytest.approx(np.sqrt(26 / 3)))
    scaled = scale.to_scale(LABELS[1:])
    assert scaled.dtype == np.float32
    assert scaled.mean() == pytest.approx(0, abs=1e-6)
    assert scaled.std() == pytest.approx(1)


def test_what_is_scaled_comes_back_in_its_unit():
    scale = LabelScale(1e6, 250.0)
    labels = np.array([1e6, 1.001e6, 0.0], np.float32)
    np.testing.assert_allclose(scale.to_unit(scale.to_scale(labels)), labels, rtol=1e-6, atol=1e-3)


def test_a_batch_changes_in_its_labels_alone_also_in_another_process():
    on_batch = pickle.loads(pickle.dumps(LabelScale(1.0, 2.0).on_batch))
    batch = on_batch({"image": np.ones(2), "label": np.array([1.0, 5.0], np.float32)})
    np.testing.assert_array_equal(batch["label"], [0.0, 2.0])
    np.testing.assert_array_equal(batch["image"], np.ones(2))


@pytest.mark.parametrize("labels", [np.array([0, 1], np.int32), np.array([[0, 1], [1, 0]], np.int8)])
def test_classes_have_no_scale(labels):
    assert label_scale(labels, np.arange(2)) is None


def test_one_number_everywhere_is_refused():
    with pytest.raises(InputError, match="all 3 training labels are 0.1"):
        label_scale(np.full(4, 0.1, np.float32), np.arange(3))
