import numpy as np

from tlj.freezing.phases import Group, Layout, Phase
from tlj.training.distances import moved_by_depth, norm_of


def test_the_norm_is_of_all_arrays_together_and_sums_in_float64():
    assert norm_of([np.array([3.0, 0.0]), np.array([[4.0]])]) == 5.0
    assert norm_of([]) == 0.0
    # In float32 ten thousand small squares are lost beside one large one.
    assert norm_of([np.array([1e4] + [1.0] * 10_000, np.float32)]) > 1e4 + 0.49


def test_distances_are_euclidean_and_relative_to_the_start():
    layout = Layout({"backbone/embedding/a": 0, "head/kernel": 1, "head/bias": 1}, blocks=0)
    labels = (("backbone/embedding/a", "frozen"), ("head/bias", "head"), ("head/kernel", "head"))
    phase = Phase(labels, (Group("head"),))
    start = {"backbone/embedding/a": np.ones(4), "head/kernel": np.array([3.0, 4.0]), "head/bias": np.zeros(1)}
    now = {**start, "head/kernel": np.array([3.0, 7.0]), "head/bias": np.full(1, 4.0)}
    embedding, head = moved_by_depth(now, start, layout, [phase])
    assert embedding == {"depth": 0, "leaves": 1, "trained": 0, "trained_now": 0, "distance": 0.0, "relative": 0.0}
    assert head == {"depth": 1, "leaves": 2, "trained": 2, "trained_now": 2, "distance": 5.0, "relative": 1.0}


def test_a_depth_that_started_at_zero_has_no_relative_distance():
    phase = Phase((("head/kernel", "head"),), (Group("head"),))
    rows = moved_by_depth(
        {"head/kernel": np.ones(4)}, {"head/kernel": np.zeros(4)}, Layout({"head/kernel": 1}, blocks=0), [phase]
    )
    assert (rows[0]["distance"], rows[0]["relative"]) == (2.0, None)
