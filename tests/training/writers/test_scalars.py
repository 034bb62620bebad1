from hypothesis import given, settings
from hypothesis import strategies as st

from tlj.training.writers.scalars import scalars


def test_every_number_has_one_name_and_the_step_is_none_of_them():
    row = {
        "step": 8,
        "phase": 1,
        "loss": 0.5,
        "learning_rate": {"head": 0.1, "backbone": {"low": 0.01}},
        "note": "text",
        "ids": [1, 2],
    }
    assert scalars(row) == {"phase": 1.0, "loss": 0.5, "learning_rate/head": 0.1, "learning_rate/backbone/low": 0.01}


def test_what_is_none_or_not_finite_is_left_out_as_it_is_null_in_the_file():
    row = {"step": 8, "loss": float("nan"), "gradient_norm": float("inf"), "timing": {"step_s": None}, "accuracy": 0.0}
    assert scalars(row) == {"accuracy": 0.0}


NUMBERS = st.recursive(
    st.floats(allow_nan=False, allow_infinity=False) | st.integers(-100, 100),
    lambda inner: st.dictionaries(st.text("abc", min_size=1), inner, max_size=3),
    max_leaves=12,
)


@settings(derandomize=True, deadline=None)
@given(row=st.dictionaries(st.text("xyz", min_size=1), NUMBERS, max_size=4))
def test_each_number_is_found_by_following_its_name(row):
    def follow(name):
        value = row
        for part in name.split("/"):
            value = value[part]
        return value

    assert all(follow(name) == value for name, value in scalars({"step": 1, **row}).items())
