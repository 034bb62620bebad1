"""Properties that tell a class."""

import numpy as np
import pytest
from scipy.stats import ks_2samp

from tlj.audit.suspicions import telling_numbers, telling_values

NAMES = ("a", "b", "c")


def test_a_format_that_only_one_class_has_is_told():
    labels = np.repeat([0, 1, 2], 30)
    values = {"format": ["PNG"] * 30 + ["JPEG"] * 60, "mode": ["RGB"] * 90}
    (told,) = telling_values(labels, NAMES, values)
    assert (told.name, told.property, told.value) == ("a", "format", "PNG")
    assert (told.association, told.inside, told.elsewhere) == (pytest.approx(1), 1, 0)


def test_one_size_in_a_class_while_the_others_vary_is_told():
    sizes = ["64 x 64"] * 30 + [f"{200 + i} x {i}" for i in range(60)]
    (told,) = telling_values(np.repeat([0, 1, 2], 30), NAMES, {"size": sizes})
    assert (told.name, told.value) == ("a", "64 x 64")


def test_the_association_is_cramers_v_of_two_by_two():
    labels = np.repeat([0, 1], 50)
    values = np.array(["x"] * 40 + ["y"] * 10 + ["x"] * 5 + ["y"] * 45)
    told = telling_values(labels, NAMES[:2], {"p": values})
    expected = np.corrcoef(labels == 0, values == "x")[0, 1]
    assert told[0].association == pytest.approx(expected)
    assert (told[0].inside, told[0].elsewhere) == (0.8, 0.1)


def test_values_that_all_differ_tell_nothing():
    values = {"size": [str(i) for i in range(90)]}
    assert telling_values(np.repeat([0, 1, 2], 30), NAMES, values) == []


def test_chance_tells_nothing():
    random = np.random.default_rng(0)
    for _ in range(50):
        labels = random.integers(0, 3, 60)
        values = {"p": random.integers(0, 4, 60).astype(str)}
        numbers = {"q": random.normal(size=60)}
        assert telling_values(labels, NAMES, values) == telling_numbers(labels, NAMES, numbers) == []


def test_a_handful_is_no_evidence():
    labels = np.repeat([0, 1], 3)
    assert telling_values(labels, NAMES[:2], {"format": ["PNG"] * 3 + ["JPEG"] * 3}) == []


def test_a_number_that_is_larger_in_a_class_is_told():
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 40)
    numbers = {"words": random.integers(5, 20, 120) + 30 * (labels == 2)}
    (told,) = telling_numbers(labels, NAMES, numbers)
    assert (told.name, told.value, told.numeric) == ("c", "larger", True)
    assert told.inside > told.elsewhere


def test_the_distance_is_that_of_kolmogorov_and_smirnov():
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1], 200)
    numbers = random.integers(0, 12, 400) + 9 * labels
    told = telling_numbers(labels, NAMES[:2], {"q": numbers})
    expected = ks_2samp(numbers[:200], numbers[200:]).statistic
    assert [one.association for one in told] == pytest.approx([expected, expected])
    assert {one.name: one.value for one in told} == {"a": "smaller", "b": "larger"}


def test_a_number_that_is_constant_tells_nothing():
    assert telling_numbers(np.repeat([0, 1], 50), NAMES[:2], {"q": np.ones(100)}) == []
