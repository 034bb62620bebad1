"""The twin's learning curve and its inverse."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlj.evidence.labels.label_curve import ABOVE, BELOW, INSIDE, condition_number, labels_to_reach, monotone

LOG_LABELS = np.log([10.0, 100.0, 1000.0])


def reach(target: float, curve: list[float]) -> tuple[float, int]:
    labels, censored = labels_to_reach(np.array([target]), np.array(curve), LOG_LABELS)
    return float(np.exp(labels[0])), int(censored[0])


def test_a_falling_curve_stays_as_it_is():
    curve = np.array([0.5, 0.1, -0.7])
    assert monotone(curve, np.ones(3)).tolist() == curve.tolist()


def test_a_rise_is_pooled_by_weight():
    assert monotone(np.array([1.0, 0.0, 0.6]), np.array([1.0, 1.0, 2.0])) == pytest.approx([1.0, 0.4, 0.4])


def test_many_curves_are_fitted_at_once():
    curves = np.array([[1.0, 0.0, 0.6], [0.0, 0.0, -1.0]])
    fitted = monotone(curves, np.ones(3))
    assert fitted.tolist() == [[1.0, 0.3, 0.3], [0.0, 0.0, -1.0]]


def test_labels_are_interpolated_on_a_log_scale():
    labels, censored = reach(0.5, [1.0, 0.0, -1.0])
    assert labels == pytest.approx(10**1.5)
    assert censored == INSIDE


@pytest.mark.parametrize(("target", "labels"), [(1.0, 10.0), (0.0, 100.0), (-1.0, 1000.0)])
def test_a_point_of_the_curve_is_reached_with_its_labels_and_not_censored(target, labels):
    assert reach(target, [1.0, 0.0, -1.0]) == (pytest.approx(labels), INSIDE)


def test_below_the_best_loss_is_censored_at_the_most_labels():
    assert reach(-1.001, [1.0, 0.0, -1.0]) == (pytest.approx(1000.0), ABOVE)


def test_above_the_worst_loss_is_censored_at_the_fewest_labels():
    assert reach(1.001, [1.0, 0.0, -1.0]) == (pytest.approx(10.0), BELOW)


def test_a_flat_stretch_is_reached_at_its_left_end():
    assert reach(0.0, [1.0, 0.0, 0.0]) == (pytest.approx(100.0), INSIDE)


def test_a_loss_just_below_a_flat_stretch_needs_all_of_it():
    assert reach(-1e-9, [0.0, 0.0, -1.0])[0] == pytest.approx(100.0, rel=1e-6)
    assert reach(-1e-9, [1.0, 0.0, 0.0]) == (pytest.approx(1000.0), ABOVE)


def test_a_curve_of_one_point_reaches_its_own_loss_and_censors_all_others():
    for target, expected in ((0.5, INSIDE), (0.4, ABOVE), (0.6, BELOW)):
        labels, censored = labels_to_reach(np.array([target]), np.array([0.5]), np.log([10.0]))
        assert (float(np.exp(labels[0])), int(censored[0])) == (pytest.approx(10.0), expected)


def test_a_batch_of_curves_is_inverted_curve_by_curve():
    curves = np.array([[1.0, 0.0, -1.0], [2.0, 0.5, 0.0]])
    targets = np.array([[0.5, -2.0], [0.5, 3.0]])
    labels, censored = labels_to_reach(targets, curves, LOG_LABELS)
    assert np.exp(labels) == pytest.approx(np.array([[10**1.5, 1000.0], [100.0, 10.0]]))
    assert censored.tolist() == [[INSIDE, ABOVE], [INSIDE, BELOW]]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(-3, 3), min_size=3, max_size=3),
    st.floats(-4, 4),
    st.floats(0, 1),
)
def test_a_lower_loss_never_needs_fewer_labels(raw, target, drop):
    curve = monotone(np.array(raw), np.ones(3))
    (higher, lower), censored = labels_to_reach(np.array([target, target - drop]), curve, LOG_LABELS)
    assert lower >= higher - 1e-9
    assert LOG_LABELS[0] <= higher <= LOG_LABELS[-1] + 1e-12
    assert censored[0] <= censored[1]


def test_condition_number_is_the_slope_of_the_inverse():
    # One decade of labels for a drop of one half in log loss.
    assert condition_number(0.3, np.array([1.0, 0.5, 0.0]), LOG_LABELS) == pytest.approx(np.log(10) / 0.5)


def test_condition_number_grows_as_the_curve_flattens_and_is_none_where_it_is_flat():
    assert condition_number(0.005, np.array([1.0, 0.01, 0.0]), LOG_LABELS) == pytest.approx(np.log(10) / 0.01)
    assert condition_number(0.0, np.array([1.0, 0.0, 0.0]), LOG_LABELS) is None
    assert condition_number(0.5, np.array([0.5]), np.log([10.0])) is None
