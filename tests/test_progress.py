"""Progress of long work."""

import io
import threading

import pytest

from tlj import progress as module
from tlj.progress import Progress


@pytest.fixture
def now(monkeypatch):
    """A time that the test moves."""
    moment = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: moment[0])
    return moment


def test_without_a_terminal_there_is_a_line_every_ten_seconds_and_one_at_the_end(now, capsys):
    progress = Progress("5 runs", 5)
    with progress.shown():
        for _ in range(5):
            now[0] += 6
            progress.advance(last="full")
    assert capsys.readouterr().err.splitlines() == [
        "5 runs: 2/5 after 12 s full",
        "5 runs: 4/5 after 24 s full",
        "5 runs: 5/5 after 30 s full",
    ]


def test_on_a_terminal_there_is_a_bar_and_no_lines(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(module.sys, "stderr", terminal)
    progress = Progress("3 runs", 3)
    with progress.shown():
        progress.advance(3, last="full")
    assert "3 runs" in terminal.getvalue()
    assert "3/3 after" not in terminal.getvalue()


def test_threads_that_report_at_once_are_all_counted(capsys):
    progress = Progress("steps", 4000)
    threads = [threading.Thread(target=lambda: [progress.advance() for _ in range(1000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "steps: 4000/4000" in capsys.readouterr().err
