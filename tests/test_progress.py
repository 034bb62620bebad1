"""Progress of long work."""

import io
import re
import sys
import threading
import time

import pytest
from rich.cells import cell_len

from tlj import progress as module
from tlj.progress import Progress, say


@pytest.fixture
def now(monkeypatch):
    """A time that the test moves."""
    moment = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: moment[0])
    return moment


@pytest.fixture
def open_terminal(monkeypatch):
    """Puts a terminal of 60 cells in place of standard error, which pytest has set anew when a test begins."""

    class Terminal(io.StringIO):
        encoding = "utf-8"

        def isatty(self):
            return True

    def opened(kind="xterm"):
        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setenv("TERM", kind)
        monkeypatch.setenv("COLUMNS", "60")
        return terminal

    return opened


def lines_of(terminal):
    """What was drawn on a terminal, line by line, without the codes that move the cursor."""
    return re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue()))


def test_without_a_terminal_there_is_a_line_every_ten_seconds_and_one_at_the_end(now, capsys):
    progress = Progress("5 runs", 5)
    with progress.shown():
        for _ in range(5):
            now[0] += 6
            progress.advance(last="full")
    assert capsys.readouterr().err.splitlines() == [
        "5 runs: 2/5 after 12 s, full, 0:18 left",
        "5 runs: 4/5 after 24 s, full, 0:06 left",
        "5 runs: 5/5 after 30 s, full",
    ]


def test_the_seconds_between_lines_can_be_chosen(now, capsys):
    progress = Progress("run", 100, seconds_between_lines=2.5)
    with progress.shown():
        for _ in range(9):
            now[0] += 1
            progress.advance()
    assert [line.split(": ")[1].split("/")[0] for line in capsys.readouterr().err.splitlines()] == ["3", "6", "9"]


def test_units_of_an_earlier_process_are_done_but_say_nothing_of_the_pace(now, capsys):
    progress = Progress("run", 1000, unit="step", warms_up=True)
    now[0] = 5
    with progress.shown():
        progress.begin(900)
        for _ in range(20):
            now[0] += 1
            progress.advance()
    first = capsys.readouterr().err.splitlines()[0]
    assert first == "run: step 910/1000 after 10 s, 1:30 left"


def test_the_first_unit_of_work_that_warms_up_says_nothing_of_the_pace(now, capsys):
    progress = Progress("run", 11, warms_up=True)
    with progress.shown():
        now[0] = 60
        progress.advance()
        for _ in range(5):
            now[0] += 2
            progress.advance()
    assert "6/11 after 70 s, 0:10 left" in capsys.readouterr().err


def test_the_time_left_follows_a_pace_that_changed(now, capsys):
    progress = Progress("run", 2000)
    with progress.shown():
        for seconds in [1] * 200 + [10] * 200:
            now[0] += seconds
            progress.advance()
    last = capsys.readouterr().err.splitlines()[-1]
    # The last ten minutes went at ten seconds a unit, and 1600 are left.
    assert last == "run: 400/2000 after 2200 s, 4:26:40 left"


def test_between_units_the_time_left_runs_down(now):
    progress = Progress("runs", 4)
    now[0] = 100
    progress.advance()
    assert progress._standing(100.0).left == "5:00 left"
    assert progress._standing(160.0).left == "4:00 left"
    assert progress._standing(1000.0).left == "0:00 left"


def test_work_that_is_stopped_ends_with_a_line_that_says_where(now, capsys):
    progress = Progress("run", 100)

    def work():
        with progress.shown():
            progress.advance(7)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert capsys.readouterr().err.startswith("run: 7/100 after 0 s")


def test_work_that_was_done_already_says_nothing(capsys):
    progress = Progress("run", 100)
    with progress.shown():
        progress.begin(100)
    assert capsys.readouterr().err == ""


def test_on_a_terminal_there_is_a_bar_and_no_lines(open_terminal):
    terminal = open_terminal()
    progress = Progress("3 runs", 3)
    with progress.shown():
        progress.advance(3, last="full")
    assert "3 runs  ━" in terminal.getvalue()
    assert "3/3 after" not in terminal.getvalue()
    assert "3/3  full" in lines_of(terminal)[-2]


def test_a_narrow_terminal_never_wraps(open_terminal):
    terminal = open_terminal()
    progress = Progress("full, folder:a/long/name/of/a/data/set", 1000)
    with progress.shown():
        progress.advance(10)
        progress.describe(["loss 0.1234", "12345 examples/s", "3% waiting for input", "validation_loss 0.1234"])
    drawn = [line for line in lines_of(terminal) if "10/1000" in line]
    assert drawn
    assert all(cell_len(line) <= 60 for line in drawn)


def test_what_is_said_stands_above_the_bar_on_a_line_of_its_own(open_terminal):
    terminal = open_terminal()
    progress = Progress("run", 10)
    with progress.shown():
        progress.advance(5)
        say("phase 1 begins\nat step 5")
        progress.advance(5)
    lines = [line.rstrip() for line in lines_of(terminal)]
    assert "phase 1 begins\\nat step 5" in lines
    assert lines.index("phase 1 begins\\nat step 5") < max(i for i, line in enumerate(lines) if "10/10" in line)


def test_what_goes_to_a_standard_output_that_is_no_terminal_stays_there(open_terminal, capsys):
    terminal = open_terminal()
    with Progress("run", 10).shown():
        print("the result")
    assert capsys.readouterr().out == "the result\n"
    assert "the result" not in terminal.getvalue()


def test_a_dumb_terminal_gets_lines(open_terminal):
    terminal = open_terminal("dumb")
    progress = Progress("run", 2)
    with progress.shown():
        progress.advance(2)
    assert terminal.getvalue() == "run: 2/2 after 0 s\n"


def test_a_log_on_a_full_disk_ends_no_work(monkeypatch):
    full = open("/dev/full", "w")  # noqa: SIM115
    monkeypatch.setattr(sys, "stderr", full)
    progress = Progress("run", 1)
    with progress.shown():
        progress.advance()
    say("all is well")
    monkeypatch.undo()
    with pytest.raises(OSError, match="No space left"):
        full.close()


def test_threads_that_report_at_once_are_all_counted(capsys):
    progress = Progress("steps", 4000)
    threads = [threading.Thread(target=lambda: [progress.advance() for _ in range(1000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "steps: 4000/4000" in capsys.readouterr().err


def test_a_step_costs_less_than_twenty_microseconds(open_terminal):
    open_terminal()
    progress = Progress("run", 10**9)
    times = []
    with progress.shown():
        for _ in range(20):
            begin = time.perf_counter()
            for _ in range(200):
                progress.advance()
            times.append((time.perf_counter() - begin) / 200)
    assert min(times) < 20e-6
