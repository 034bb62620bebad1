import numpy as np
import pytest

from tlj.training.checkpoint_sizes import array_row, optimizer_bytes


@pytest.mark.parametrize(
    ("dtype", "shape", "size"),
    [("float32", (3, 4), 48), ("bfloat16", (8,), 16), ("int32", (), 4), ("float32", (0,), 0)],
)
def test_the_bytes_of_an_array_follow_from_its_shape_and_dtype(dtype, shape, size):
    import jax

    leaf = jax.ShapeDtypeStruct(shape, dtype)
    assert array_row("a/b", leaf) == {"path": "a/b", "shape": list(shape), "dtype": dtype, "bytes": size}


def test_an_array_is_told_as_what_stands_for_one():
    assert array_row("a", np.zeros((2, 2), np.float64)) == {
        "path": "a",
        "shape": [2, 2],
        "dtype": "float64",
        "bytes": 32,
    }


def row(path, size):
    return {"path": path, "bytes": size}


def test_a_moment_belongs_to_the_parameter_that_its_path_ends_in():
    rows = [
        row("1/inner_states/head/inner_state/0/count", 4),
        row("1/inner_states/head/inner_state/0/mu/head/kernel", 40),
        row("1/inner_states/head/inner_state/0/nu/head/kernel", 40),
        row("1/inner_states/head/inner_state/0/mu/head/bias", 8),
    ]
    paths = ["head/kernel", "head/bias", "backbone/kernel"]
    assert optimizer_bytes(rows, paths) == {"head/kernel": 80, "head/bias": 8, "backbone/kernel": 0}


def test_of_two_paths_of_which_one_ends_like_the_other_the_longer_owns_the_moment():
    paths = ["lora/backbone/block0/a", "backbone/block0/a"]
    assert optimizer_bytes([row("0/mu/lora/backbone/block0/a", 12)], paths) == {paths[0]: 12, paths[1]: 0}
    assert optimizer_bytes([row("0/mu/backbone/block0/a", 12)], paths) == {paths[0]: 0, paths[1]: 12}
