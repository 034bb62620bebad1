"""A model's leaves as the arrays of a torch checkpoint."""

import numpy as np
import pytest

from tlj.errors import InputError
from tlj.pretrained.export.arrays import flat_leaves, torch_arrays
from tlj.pretrained.formats.name_map import Module

MODULES = (Module("backbone/a", ("x", "y"), "dense"), Module("backbone/norm", ("bn",), "batch_norm"))
KERNEL, BIAS, SCALE, SHIFT, MEAN, VAR = (
    np.arange(size, dtype=np.float32).reshape(shape) + 1
    for size, shape in ((12, (2, 2, 3)), (6, (2, 3)), (3, 3), (3, 3), (3, 3), (3, 3))
)
VARIABLES = {
    "params": {"backbone": {"a": {"kernel": KERNEL, "bias": BIAS}, "norm": {"scale": SCALE, "bias": SHIFT}}},
    "batch_stats": {"backbone": {"norm": {"mean": MEAN, "var": VAR}}},
}


def test_stacked_matrices_come_apart_and_are_transposed():
    arrays = torch_arrays(VARIABLES, MODULES)
    np.testing.assert_array_equal(arrays["x.weight"], KERNEL[:, 0].T)
    np.testing.assert_array_equal(arrays["y.weight"], KERNEL[:, 1].T)
    np.testing.assert_array_equal(arrays["y.bias"], BIAS[1])


def test_every_array_is_contiguous_as_a_file_needs_it():
    arrays = torch_arrays(VARIABLES, MODULES)
    assert all(array.flags.c_contiguous for array in arrays.values())
    assert {array.dtype for name, array in arrays.items() if "num_batches" not in name} == {np.dtype(np.float32)}


def test_a_batch_norm_has_the_count_that_torch_asks_for():
    count = torch_arrays(VARIABLES, MODULES)["bn.num_batches_tracked"]
    assert (count.shape, count.dtype) == ((), np.int64)


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused_by_name(number):
    spoilt = {**VARIABLES, "batch_stats": {"backbone": {"norm": {"mean": MEAN, "var": np.array([1, number, 1.0])}}}}
    with pytest.raises(InputError, match="batch_stats/backbone/norm/var: numbers that are NaN or infinite"):
        flat_leaves(spoilt)
