import numpy as np
import pytest

from tlj.training.similarity import chance_cka, linear_cka

RNG = np.random.default_rng(0)


def kernel_alignment(x, y):
    """The same by its definition: centred Gram matrices, and the cosine between them."""
    n = len(x)
    centre = np.eye(n) - 1 / n
    k, m = (centre @ (z @ z.T) @ centre for z in (x, y))
    return np.sum(k * m) / (np.linalg.norm(k) * np.linalg.norm(m))


@pytest.mark.parametrize("widths", [(5, 5), (3, 8), (60, 4), (80, 100)])
def test_it_is_the_cosine_of_centred_gram_matrices_for_any_widths(widths):
    x, y = (RNG.normal(3, 1, (40, width)) for width in widths)
    assert linear_cka(x, y) == pytest.approx(kernel_alignment(x, y), rel=1e-9)
    assert linear_cka(y, x) == pytest.approx(linear_cka(x, y), rel=1e-9)


def test_shifts_rotations_and_scales_change_nothing():
    x = RNG.normal(size=(50, 6)).astype(np.float32)
    rotation, _ = np.linalg.qr(RNG.normal(size=(6, 6)))
    assert linear_cka(x, 3 * x @ rotation + 7) == pytest.approx(1, abs=1e-6)
    assert linear_cka(x, x * [1, 1, 1, 1, 1, 30]) < 0.9


def test_a_constant_or_a_number_that_is_not_finite_has_no_similarity():
    x = RNG.normal(size=(30, 4))
    assert linear_cka(x, np.full((30, 4), 0.1, np.float32)) is None
    assert linear_cka(np.where(x > 2, np.nan, x) * np.nan, x) is None


def test_chance_is_small_where_examples_are_many_and_large_where_they_are_few():
    x = RNG.normal(size=(400, 5))
    assert chance_cka(x, x) == chance_cka(x, x) < 0.1
    few = RNG.normal(size=(20, 500))
    assert chance_cka(few, few) > 0.8
