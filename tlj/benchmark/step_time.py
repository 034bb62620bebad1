"""Step time of each arm, measured alone on the machine: the mean over its phases, by the steps it spends in each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from tlj.benchmark.windows import Stepper, take_turns
from tlj.pretrained.runs import describe_model
from tlj.training.clock import SHORTEST_WINDOW
from tlj.training.programs import Programs
from tlj.training.setup import Setup

WINDOWS = 5


def what_is_measured(setups: Mapping[str, Setup]) -> dict[str, Any]:
    """Returns what step times depend on besides the arm: the device, the model, its type and the batch.

    Args:
      setups: by arm; all of one model.
    """
    setup = next(iter(setups.values()))
    return {
        "device": jax.devices()[0].device_kind,
        "devices": jax.device_count(),
        "model": describe_model(setup.spec, setup.preprocessing),
        "dtype": setup.dtype,
        "global_batch_size": setup.config["global_batch_size"],
        # Comparisons that are older know nothing of it.
        **({"cache": cache} if (cache := setup.config["cache"]["activations"]) != "none" else {}),
    }


def mean_phase_steps(summaries: Iterable[Mapping[str, Any]], phases: int) -> list[float]:
    """Returns how many steps runs of one arm spent in each phase, on average.

    Args:
      summaries: of the finished runs.
      phases: of the arm; one that waited for a plateau and never began has no entry in a summary and counts as 0 steps.
    """
    steps = [[phase["steps"] for phase in summary["phases"]] for summary in summaries]
    return np.mean([[*row, *[0] * (phases - len(row))] for row in steps], axis=0).tolist()


def is_measured(
    content: Mapping[str, Any], setups: Mapping[str, Setup], phase_steps: Mapping[str, Sequence[float]]
) -> bool:
    """Whether the content of a ``step_time.json`` is of these arms, this model and this device."""
    arms = content.get("arms", {})
    known = {arm: [phase["steps"] for phase in row.get("phases", [])] for arm, row in arms.items()}
    same = all(known.get(arm) == list(phase_steps[arm]) for arm in setups)
    return same and content.get("what") == what_is_measured(setups)


def measure_step_times(
    setups: Mapping[str, Setup], programs: Programs, phase_steps: Mapping[str, Sequence[float]]
) -> dict[str, Any]:
    """Measures the step time of each arm, without input, evaluation, checkpoints or compilation.

    Every program is measured once, however many arms and phases run it, and one of a phase that no run reached is
    neither compiled nor measured. An arm's time is the mean over its phases, weighted by their steps, within each
    round of windows; median and percentiles are those of the rounds.

    Args:
      setups: by arm.
      programs: compiled programs to share.
      phase_steps: by arm, the steps that a run spends in each phase.

    Returns:
      The content of ``step_time.json``: device, devices, and per arm median, 5th and 95th percentile in seconds, those
      of each phase under ``phases``, with None where nothing was measured.
    """
    steppers, program_of = {}, {}
    for arm, setup in setups.items():
        for index, (phase, steps) in enumerate(zip(setup.phases, phase_steps[arm], strict=True)):
            if steps:
                stepper = Stepper(setup, phase, programs)
                steppers.setdefault(id(stepper.program), stepper)
                program_of[arm, index] = id(stepper.program)
    windows = take_turns(list(steppers.values()), WINDOWS)
    by_program = {program: timed.seconds for program, timed in zip(steppers, windows, strict=True)}

    def row(arm: str) -> dict[str, Any]:
        by_phase = [(steps, by_program.get(program_of.get((arm, i)))) for i, steps in enumerate(phase_steps[arm])]
        seconds = sum(steps / sum(phase_steps[arm]) * s for steps, s in by_phase if s is not None)
        phases = [{"steps": steps, **spread(s)} for steps, s in by_phase]
        return {**spread(seconds), "windows": WINDOWS, "steps_per_window": SHORTEST_WINDOW, "phases": phases}

    return {
        "device": jax.devices()[0].device_kind,
        "devices": jax.device_count(),
        "what": what_is_measured(setups),
        "arms": {arm: row(arm) for arm in setups},
    }


def spread(seconds: Float[np.ndarray, " windows"] | None) -> dict[str, float | None]:
    """Returns median, 5th and 95th percentile, or None for each where nothing was measured."""
    values = [None] * 3 if seconds is None else [float(value) for value in np.percentile(seconds, (50, 5, 95))]
    return dict(zip(("median_s", "p5_s", "p95_s"), values, strict=True))
