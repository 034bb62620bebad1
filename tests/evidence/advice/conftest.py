"""Comparisons in memory with step times, to be asked about."""

import dataclasses

import pytest

from tlj.evidence.advice.advise import advise
from tlj.evidence.advice.cells import Measured
from tlj.evidence.advice.question import Question
from tlj.evidence.money.prices import Accelerator, Prices, Quote
from tlj.evidence.summary import build_summary

# At this price an accelerator-second costs a cent; a run takes 200 steps of as many milliseconds as the arm is given.
CHIP = Accelerator("a processor", ("cpu",), {"dollars_per_chip_hour": Quote(36.0)})


@pytest.fixture(scope="session")
def priced():
    """Prices of the device alone."""
    return Prices("p.toml", "", (CHIP,), {})


@pytest.fixture(scope="session")
def measure(in_memory):
    """Builds what advice sees from `{arm: {budget: accuracies}}` and `{arm: milliseconds a step}`."""

    def measure(accuracies, question=None, prices=None, milliseconds=None, **facts):
        comparison = in_memory(accuracies, **facts)
        runs = tuple(dataclasses.replace(run, summary={"steps": 200}) for run in comparison.runs)
        step_time = None
        if milliseconds:
            arms = {arm: dict.fromkeys(("median_s", "p5_s", "p95_s"), ms / 1e3) for arm, ms in milliseconds.items()}
            step_time = {"device": "cpu", "devices": 1, "arms": arms}
        comparison = dataclasses.replace(comparison, runs=runs, step_time=step_time)
        priced = (question or Question()).priced(prices)
        return Measured(comparison, build_summary(comparison, priced))

    return measure


@pytest.fixture(scope="session")
def ask(measure):
    """Asks a question of such a comparison."""

    def ask(accuracies, prices=None, milliseconds=None, facts=None, **question):
        question = Question(**question)
        return advise(measure(accuracies, question, prices, milliseconds, **(facts or {})), question)

    return ask
