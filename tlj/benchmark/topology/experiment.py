"""What the experiment of a config consists of, in steps of the run that a plan has compiled."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from tlj.config import flatten
from tlj.experiments.arm_configs import arm_comparison
from tlj.experiments.arms import Arm
from tlj.experiments.grid import label_counts, parse_arms
from tlj.experiments.search_space import settings
from tlj.freezing.phases import Phase

NOT_COUNTED = (
    "not counted: evaluation, compilation, waiting for input, checkpoints, runs that are repeated, added seeds, "
    "extended ranges and runs of other parities than steps"
)


@dataclasses.dataclass(frozen=True)
class Share:
    """Runs that cost alike.

    Attributes:
      what: an arm, or ``"pretraining"``.
      runs: over label budgets and seeds.
      trials: of tuning, over budgets and tuning seeds.
      steps: of each run, at most: a run may end earlier.
      reference_steps: how many steps of the compiled phase one of its runs is worth.
    """

    what: str
    runs: int
    trials: int
    steps: int
    reference_steps: float

    @property
    def total_steps(self) -> float:
        """Of the compiled phase, that all of them are worth."""
        return (self.runs + self.trials) * self.reference_steps


def phase_steps(phases: Sequence[Phase], steps: int) -> list[int] | None:
    """Returns how many of a run's steps each phase takes, or None where one waits for a plateau.

    Args:
      phases: of the run.
      steps: of the run.
    """
    starts = [phase.start for phase in phases]
    if not all(isinstance(start, int) for start in starts):
        return None
    ends = [min(start, steps) for start in [*starts[1:], steps]]
    return [max(end - start, 0) for start, end in zip(starts, ends, strict=True)]


def worth(phases: Sequence[Phase], steps: int, flops: Mapping[Any, float], reference: float) -> float:
    """Returns how many steps of a reference phase a run is worth: its FLOPs over those of one such step.

    Where a phase waits for a plateau, every step counts as one of the most expensive phase.

    Args:
      phases: of the run.
      steps: of the run.
      flops: of a step, by the structure of the phase.
      reference: FLOPs of a step of the reference phase.
    """
    of_phases = [flops[phase.structure] for phase in phases]
    taken = phase_steps(phases, steps)
    if taken is None:
        return steps * max(of_phases) / reference
    return math.fsum(n * each for n, each in zip(taken, of_phases, strict=True)) / reference


def comparison_shares(config: ConfigDict, run_worth: Callable[[ConfigDict, Arm], float]) -> tuple[Share, ...]:
    """Returns the runs of a comparison, arm by arm.

    Args:
      config: of the comparison.
      run_worth: of one run of an arm, from the config of the comparison as that arm has it.

    Raises:
      InputError: for arms or budgets that make no sense.
    """
    arms, _ = parse_arms(config)
    as_declared = {arm.name: arm_comparison(config, arm) for arm in arms}
    tuning, shares = config.tuning, []
    for arm in arms:
        own = as_declared[arm.name]
        budgets = len(label_counts(own))
        tuned = budgets if tuning.budgets == "each" else 1
        tried = len(settings(tuning.search, flatten(own.tuning.space), tuning.trials)) if tuning.trials else 0
        trials = tried * len(tuning.seeds) * tuned
        shares.append(Share(arm.name, budgets * len(config.seeds), trials, own.steps, run_worth(own, arm)))
    return tuple(shares)
