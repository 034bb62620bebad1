import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlj.experiments.batches import Kind, batches


def kinds(text):
    """``"a1 a2 b1"``: programs are letters, orders are digits."""
    return [Kind(word[0], word[1:]) for word in text.split()]


@pytest.mark.parametrize(
    ("text", "most", "expected"),
    [
        ("a1 b1 a2 b2", 4, [[0, 2], [1, 3]]),
        ("a1 a2 a1 a2 a1 a2", 3, [[0, 2, 4], [1, 3, 5]]),
        # Five of one order fill a batch, and the one that is left shares another.
        ("a1 a1 a1 a1 a1 a2 a3", 4, [[0, 1, 2, 3], [4, 5, 6]]),
        ("a1 a1 a1 a2", 4, [[0, 1, 2], [3]]),
        ("a1 a2 a3", 1, [[0], [1], [2]]),
        ("", 4, []),
    ],
)
def test_runs_of_one_order_fill_batches_and_what_is_left_shares_them(text, most, expected):
    assert batches(kinds(text), most) == expected


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3)), max_size=30), st.integers(1, 6))
def test_every_run_is_in_one_batch_of_one_program_that_is_not_too_large(found, most):
    made = batches([Kind(*kind) for kind in found], most)
    assert sorted(place for batch in made for place in batch) == list(range(len(found)))
    assert all(len(batch) <= most for batch in made)
    assert all(len({found[place][0] for place in batch}) == 1 for batch in made)
    assert [batch[0] for batch in made] == sorted(min(batch) for batch in made)
