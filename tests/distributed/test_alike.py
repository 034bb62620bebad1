"""Whether processes that train together were told the same."""

import pytest

from tlj.distributed import alike, check_alike
from tlj.errors import InputError


@pytest.fixture
def waited(monkeypatch):
    """This process is the second of two, and the first was told ``steps`` 5 and a batch of (2, 3)."""
    names = []
    monkeypatch.setattr(alike, "agree", lambda told: {"steps": 5, "shape": [2, 3]})
    monkeypatch.setattr(alike, "barrier", names.append)
    monkeypatch.setattr(alike, "process_index", lambda: 1)
    monkeypatch.setattr(alike, "process_count", lambda: 2)
    return names


def test_a_process_alone_is_always_alike():
    check_alike({"steps": 5, "shape": (2, 3)}, "nothing")


def test_none_goes_on_before_all_have_asked(waited):
    check_alike({"shape": (2, 3), "steps": 5}, "nothing")
    assert waited == ["alike"]


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"steps": 6, "shape": (2, 3)}, "steps is 5 there and 6 here; do that"),
        ({"steps": 5, "shape": (2, 3), "more": 1}, "more is None there and 1 here; do that"),
        ({"shape": (3, 2)}, r"shape is \[2, 3\] there and \[3, 2\] here, steps is 5 there and None here; do that"),
    ],
)
def test_all_that_differs_is_named(waited, told, message):
    with pytest.raises(InputError, match=f"^process 1 of 2: not what process 0 was given: {message}$"):
        check_alike(told, "do that")
    assert not waited
