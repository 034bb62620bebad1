"""Who goes on when, with steps that are counted and not taken."""

import threading
import types

import pytest

from tlj.distributed import PreemptedError
from tlj.training.non_finite import NonFiniteError
from tlj.training.stretch import Taken
from tlj.training.surroundings import StoppedError, Surroundings
from tlj.training.together import train
from tlj.training.together.train import train_together


class Asked:
    """Steps to the next multiple of four."""

    def __init__(self, company, name, step, program):
        self.company, self.name, self.step, self.program = company, name, step, program
        self.setup, self.phase, self.held = name, program, None
        self.stop, self.dues = company.stop, types.SimpleNamespace(ends_window=lambda step: step % 4 == 0)
        self.clock = types.SimpleNamespace(share=lambda since: company.shared.append(name))

    def after(self, held, step):
        return Asked(self.company, self.name, step, self.program)


class Company:
    """Runs that are trained in name only; ``taken`` tells which took steps together, from which step."""

    def __init__(self):
        self.stop, self.taken, self.shared, self.ended, self.notices = threading.Event(), [], [], {}, False

    def run(self, name, start=0, end=8, program="p", fails=None):
        def steps(shared=None):
            step = start
            try:
                while step < end:
                    found = yield Asked(self, name, step, program)
                    step = found.step
                    if found.leaves:
                        raise PreemptedError(f"{name} at {step}")
                    if self.stop.is_set():
                        raise StoppedError
                    if fails and step == fails[0]:
                        raise fails[1]
            except BaseException as error:
                self.ended[name] = error
                raise
            return f"{name} is done"

        return steps

    def take(self, members, commons, programs, most):
        assert len({member.asked.step for member in members}) == 1
        step = members[0].asked.step
        self.taken.append((step, "".join(member.asked.name for member in members)))
        end = step + 1 if self.stop.is_set() or self.notices else step + 4 - step % 4
        return [Taken(None, end, self.notices) for _ in members]

    def train(self, *runs):
        return train_together(runs, 4, Surroundings(stop=self.stop))


@pytest.fixture
def company(monkeypatch):
    made = Company()
    monkeypatch.setattr(train, "take_together", made.take)
    monkeypatch.setattr(train, "together_key", lambda setup, phase: phase)
    monkeypatch.setattr(train, "order_key", lambda setup: setup)
    return made


def test_runs_take_their_steps_together(company):
    assert company.train(company.run("a"), company.run("b")) == ["a is done", "b is done"]
    assert company.taken == [(0, "ab"), (4, "ab")]
    # What others did while they waited is not their time.
    assert company.shared == ["a", "b", "a", "b"]


def test_a_run_that_is_behind_catches_up_before_the_others_go_on(company):
    company.train(company.run("a", start=6), company.run("b"), company.run("c", start=4))
    assert company.taken[0] == (0, "b")
    assert [step for step, _ in company.taken] == sorted(step for step, _ in company.taken)
    assert sorted(company.taken[1][1]) == ["b", "c"]


def test_runs_of_other_programs_take_turns(company):
    company.train(company.run("a"), company.run("b", program="q"), company.run("c"))
    assert [(step, "".join(sorted(names))) for step, names in company.taken] == [
        (0, "ac"),
        (0, "b"),
        (4, "ac"),
        (4, "b"),
    ]


def test_a_run_that_ends_or_fails_leaves_the_others_to_go_on(company):
    wrong = NonFiniteError("step 4 is not finite")
    results = company.train(
        company.run("a", end=4), company.run("b", fails=(4, wrong)), company.run("c"), company.run("d", end=0)
    )
    assert results == ["a is done", wrong, "c is done", "d is done"]
    assert company.taken == [(0, "abc"), (4, "c")]


def test_a_run_that_breaks_stops_the_others(company):
    with pytest.raises(ValueError, match="broken"):
        company.train(company.run("a"), company.run("b", fails=(4, ValueError("broken"))), company.run("c"))
    assert {name: type(error) for name, error in company.ended.items()} == {
        "a": StoppedError,
        "b": ValueError,
        "c": StoppedError,
    }


def test_an_error_of_a_step_comes_out_of_a_run_and_stops_the_others(company, monkeypatch):
    def broken(*arguments):
        raise OSError("a batch cannot be read")

    monkeypatch.setattr(train, "take_together", broken)
    with pytest.raises(OSError, match="cannot be read"):
        company.train(company.run("a"), company.run("b"))
    assert [type(company.ended[name]) for name in "ab"] == [OSError, StoppedError]


def test_at_a_notice_every_run_saves_also_those_that_wait_for_another(company):
    runs = [company.run("a"), company.run("b", program="q")]
    company.notices = True
    with pytest.raises(PreemptedError, match="a at 1"):
        company.train(*runs)
    assert [str(company.ended[name]) for name in "ab"] == ["a at 1", "b at 1"]


def test_after_a_notice_no_run_begins_and_none_of_those_that_had_takes_a_step(company, monkeypatch):
    asked = iter([False, True])
    monkeypatch.setattr(train, "stop_requested", lambda step: next(asked))
    with pytest.raises(PreemptedError, match="not begun"):
        company.train(company.run("a"), company.run("b"))
    assert company.taken == []
    assert isinstance(company.ended["a"], StoppedError)


def test_runs_that_are_to_stop_do_so_at_their_next_step(company):
    def stop_then_run(shared):
        company.stop.set()
        return (yield from company.run("b")())

    with pytest.raises(StoppedError):
        company.train(company.run("a"), stop_then_run)
    assert company.taken == [(0, "ab")]
