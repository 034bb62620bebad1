import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from tlj.progress_line import Standing, clock_time, log_line, terminal_line

FACTS = ("loss 0.1234", "12345 examples/s", "3% waiting for input", "validation_loss 0.2345")
STANDING = Standing("full, digits:5-9", "step 1200/5000", 0.24, 61.4, 125.0, FACTS)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (3599, "59:59"), (3600, "1:00:00"), (90061, "25:01:01")]
)
def test_a_time_reads_as_on_a_clock(seconds, text):
    assert clock_time(seconds) == text


def test_a_log_holds_everything():
    assert log_line(STANDING) == (
        "full, digits:5-9: step 1200/5000 after 61 s, loss 0.1234, 12345 examples/s, 3% waiting for input, "
        "validation_loss 0.2345, 2:05 left"
    )


def test_what_is_not_known_or_over_is_left_out():
    assert log_line(Standing("run", "3/10", 0.3, 5.0, None)) == "run: 3/10 after 5 s"
    assert log_line(Standing("run", "10/10", 1.0, 5.0, 0.0, ("",))) == "run: 10/10 after 5 s"


def test_a_wide_terminal_shows_everything_and_a_bar_as_long_as_the_share():
    line = terminal_line(STANDING, 200)
    assert all(fact in line for fact in (*FACTS, "full, digits:5-9", "step 1200/5000", "2:05 left"))
    assert (line.count("━"), line.count("╌")) == (9, 31)


def test_the_bar_takes_the_room_that_is_left():
    plain = Standing("run", "1/2", 0.5, 1.0, None)
    assert terminal_line(plain, 30) == "run  ━━━━━━━━━━╌╌╌╌╌╌╌╌╌╌  1/2"


def test_eighty_columns_hold_what_matters_of_a_run():
    assert (
        terminal_line(STANDING, 80) == "step 1200/5000  loss 0.1234  12345 examples/s  3% waiting for input  2:05 left"
    )


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (60, "step 1200/5000  loss 0.1234  12345 examples/s  2:05 left"),
        (40, "step 1200/5000  loss 0.1234  2:05 left"),
        (30, "step 1200/5000  2:05 left"),
        (20, "step 1200/5000"),
        (9, "step 1200"),
    ],
)
def test_a_narrow_terminal_loses_what_matters_least(width, line):
    assert terminal_line(STANDING, width) == line


def test_a_terminal_without_unicode_gets_a_bar_of_ascii():
    line = terminal_line(Standing("run", "1/2", 0.5, 1.0, None), 30, ascii_only=True)
    assert line == "run  ##########..........  1/2"


@settings(derandomize=True, deadline=None, max_examples=200)
@given(
    width=st.integers(1, 200),
    what=st.text("ab 日本", min_size=1, max_size=30),
    facts=st.lists(st.text("xy 語", max_size=30), max_size=6),
    share=st.floats(0, 1.5),
    left=st.none() | st.floats(0, 1e6),
)
def test_no_line_is_wider_than_its_terminal(width, what, facts, share, left):
    line = terminal_line(Standing(what, "7/9", share, 1.0, left, tuple(facts)), width)
    assert cell_len(line) <= width
