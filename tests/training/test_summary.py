from types import MappingProxyType

import pytest

from tlj.training.clock import Clock
from tlj.training.phase_record import PhaseRecord
from tlj.training.run_record import RunRecord
from tlj.training.summary import parameter_sizes, run_summary

HEAD = 16 * 5 + 5


@pytest.fixture
def summary_of(tiny_run):
    """The summary of a run that was never trained, from what it would have measured."""

    def make(record, clock=None, *, of_run=MappingProxyType({}), **changes):
        setup = tiny_run(init="scratch", **changes)
        return setup, run_summary(setup, clock or Clock(), {"test_loss": 0.5}, RunRecord(record, **of_run), 1)

    return make


def clock_of(*windows):
    """A clock with one window of 20 steps per phase, of so many seconds per step."""
    clock = Clock()
    for index, seconds in enumerate(windows):
        clock._windows[index].append(seconds)
    return clock


def test_phases_have_the_steps_between_their_starts_and_cost_what_they_cost(summary_of):
    record = PhaseRecord({}, starts=[0, 9], flops=[9 * 10.0, 15 * 30.0])
    setup, summary = summary_of(record, clock_of(0.1, 0.2), strategy="lp_ft", evaluate={"every": 1})
    total = sum(parameter_sizes(setup).values())
    assert summary["phases"] == [
        {"start": 0, "steps": 9, "trained": HEAD, "flops_per_step": 10.0},
        {"start": 9, "steps": 15, "trained": total, "flops_per_step": 30.0},
    ]
    assert summary["flops"] == {"training_total": 9 * 10.0 + 15 * 30.0, "per_step": (9 * 10.0 + 15 * 30.0) / 24}
    assert summary["parameters"] == {"total": total, "trained": total}
    assert summary["timing"]["step_s_by_phase"] == [0.1, 0.2]
    assert summary["cost"]["accelerator_seconds"] == pytest.approx((9 * 0.1 + 15 * 0.2) * setup.mesh.size)


def test_a_phase_that_never_began_is_not_counted(summary_of):
    _, summary = summary_of(PhaseRecord({}, flops=[24 * 10.0]), clock_of(0.1), strategy="lp_ft", evaluate={"every": 1})
    assert [phase["steps"] for phase in summary["phases"]] == [24]
    assert summary["parameters"]["trained"] == HEAD
    assert summary["flops"]["training_total"] == 240.0


def test_what_trained_in_any_phase_counts_as_trained(summary_of):
    record = PhaseRecord({}, starts=[0, 13, 16, 19], flops=[4.0, 3.0, 2.0, 1.0])
    setup, summary = summary_of(record, strategy="freeze_out")
    assert summary["parameters"]["trained"] == summary["parameters"]["total"]
    assert [phase["trained"] for phase in summary["phases"]] == sorted(
        (phase["trained"] for phase in summary["phases"]), reverse=True
    )


def test_a_cost_that_was_not_measured_is_not_made_up(summary_of):
    _, summary = summary_of(
        PhaseRecord({}, starts=[0, 9], flops=[1.0, 1.0]), clock_of(0.1), strategy="lp_ft", evaluate={"every": 1}
    )
    assert summary["timing"]["step_s_by_phase"] == [0.1, None]
    assert summary["cost"]["accelerator_seconds"] is None


def test_what_was_measured_stands_under_timing_and_cost_alone(summary_of):
    record = PhaseRecord({}, flops=[10.0], never_moved=["head/bias"])
    (_, quick), (_, slow) = (summary_of(record, clock_of(s), strategy="linear_probe") for s in (0.1, 9.9))
    assert {name for name in quick if quick[name] != slow[name]} == {"timing", "cost"}
    assert (quick["never_moved"], quick["test_opened"], quick["control"]) == (["head/bias"], 1, "random features")
    assert (quick["label_budget"], quick["train_examples"], quick["validation_examples"]) == (40, 32, 8)


def test_adapters_are_among_the_parameters(summary_of):
    setup, summary = summary_of(PhaseRecord({}, flops=[1.0]), strategy="lora:2")
    # Query and value of two blocks, each of two matrices of 16 x 2.
    assert summary["parameters"]["trained"] == HEAD + 2 * 2 * 2 * 16 * 2
    assert sum(path.startswith("lora/") for path in parameter_sizes(setup)) == 8


def test_a_run_that_stopped_early_is_told_by_the_steps_it_took(summary_of):
    record = PhaseRecord({}, flops=[12 * 10.0])
    _, summary = summary_of(record, clock_of(0.1), of_run={"stopped_at": 12, "skipped": 2})
    assert (summary["stopped_at"], summary["steps"], summary["skipped_updates"]) == (12, 24, 2)
    assert summary["phases"][0]["steps"] == 12
    assert summary["flops"] == {"training_total": 120.0, "per_step": 10.0}
