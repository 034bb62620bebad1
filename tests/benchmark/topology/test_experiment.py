import dataclasses

import pytest

from tlj.benchmark.topology.experiment import Share, comparison_shares, phase_steps, worth
from tlj.freezing.phases import Plateau


@dataclasses.dataclass(frozen=True)
class Stretch:
    """What of a phase counts here."""

    structure: str
    start: int | Plateau


PROBE, FULL = Stretch("probe", 0), Stretch("full", 60)
FLOPS = {"probe": 1.0, "full": 3.0}


def test_a_phase_takes_the_steps_up_to_the_next():
    assert phase_steps([PROBE, FULL], 200) == [60, 140]
    assert phase_steps([PROBE, FULL], 40) == [40, 0]
    assert phase_steps([PROBE, Stretch("full", Plateau())], 200) is None


def test_a_run_is_worth_its_flops_over_those_of_a_step_of_the_compiled_phase():
    assert worth([PROBE, FULL], 200, FLOPS, reference=3.0) == pytest.approx(140 + 60 / 3)


def test_a_run_that_waits_for_a_plateau_counts_as_if_every_step_were_the_most_expensive():
    assert worth([PROBE, Stretch("full", Plateau())], 200, FLOPS, reference=3.0) == 200


def test_a_share_counts_runs_and_trials():
    assert Share("full", runs=10, trials=20, steps=200, reference_steps=150.0).total_steps == 4_500


def test_a_comparison_has_a_run_for_every_budget_and_seed_and_trials_on_seeds_of_their_own(tiny_config):
    tuning = {"trials": 3, "seeds": [1000, 1001], "space": {"optimizer.learning_rate": (1e-4, 1e-2)}}
    config = tiny_config("w", label_budgets=(20, 40, 60), seeds=(0, 1), tuning=tuning, steps=24)
    asked = []
    shares = comparison_shares(config, lambda own, arm: asked.append(arm.name) or 24.0 + len(asked))
    assert [share.what for share in shares] == asked == [arm.rpartition("=")[0] or arm for arm in config.arms]
    assert {(share.runs, share.trials, share.steps) for share in shares} == {(6, 18, 24)}
    assert [share.reference_steps for share in shares] == [25.0 + i for i in range(len(asked))]
    config.tuning.budgets = "largest"
    assert {share.trials for share in comparison_shares(config, lambda own, arm: 1.0)} == {6}


def test_an_arm_may_have_budgets_and_steps_of_its_own(tiny_config):
    config = tiny_config("w", label_budgets=(20, 40), seeds=(0,), arms=("scratch", "full"), declared={})
    config.declared = {"full": {"label_budgets": (20,), "steps": 12}}
    found = {share.what: (share.runs, share.steps) for share in comparison_shares(config, lambda own, arm: 1.0)}
    assert found == {"scratch": (2, config.steps), "full": (1, 12)}
