"""A loss or gradient that is not a finite number: which leaf it shows in first, and which examples it came of."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from tlj.distributed import is_main
from tlj.errors import RunError
from tlj.freezing.phases import Phase
from tlj.training.compiled import check_program, run_keys
from tlj.training.parallel import fetch
from tlj.training.run_files import write_json
from tlj.training.setup import Setup
from tlj.training.state import TrainState

FILE = "non_finite.json"


class NonFiniteError(RunError):
    """A loss or gradient was not a finite number, and the run was to stop there."""


def diagnose(setup: Setup, phase: Phase, state: TrainState, step: int) -> dict[str, Any]:
    """Returns what was wrong at a step, computed again from the state before it, and the ids of its examples.

    Args:
      setup: of the run.
      phase: that the step is in.
      state: before the step.
      step: the number that it would have had, from 1.

    Returns:
      ``step``; ``leaf``, the first that is not finite (``first_bad``); ``loss``; and ``examples``.
    """
    batch = setup.wrapper.put(setup.batches[step - 1], 1)
    check = check_program(setup, phase, batch)
    # The state is given away; whoever asks has no use for it any more.
    _, found = check(state, batch, run_keys(setup.config["seed"], setup.config["prng"]))
    found = fetch(found)
    return {
        "step": step,
        "leaf": first_bad(found["finite"], setup.layout.depths, loss=float(found["loss"])),
        "loss": float(found["loss"]),
        "examples": example_ids(setup, step),
    }


def first_bad(finite: Mapping[str, Mapping[str, Any]], depths: Mapping[str, int], loss: float) -> str:
    """Returns the first thing that is not finite, in the order in which a step meets them.

    Args:
      finite: of ``make_check_step``.
      depths: of every parameter, by path.
      loss: of the batch.
    """
    flat = {
        kind: {
            jax.tree_util.keystr(path, simple=True, separator="/"): bool(leaf)
            for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
        }
        for kind, tree in finite.items()
    }
    # What a step that starts from activations does not take was finite when these were made.
    params = sorted(flat["params"], key=lambda path: (depths[path], path))
    met = [(f"parameter {path}", flat["params"][path]) for path in params]
    met += [(f"statistic {path}", good) for path, good in sorted(flat["batch_stats"].items())]
    met += [("the loss", bool(np.isfinite(loss)))]
    met += [(f"gradient of {path}", flat["gradients"].get(path, True)) for path in reversed(params)]
    return next((name for name, good in met if not good), "the norm of all gradients, which overflows")


def example_ids(setup: Setup, step: int) -> list[str]:
    """Returns the ids of the examples in the global batch of a step, from 1, in their order."""
    return [setup.source.ids[index] for index in setup.order[step - 1]]


def refuse(
    setup: Setup, phase: Phase, state: TrainState, step: int, directory: pathlib.Path, last: int | None
) -> NonFiniteError:
    """Writes down what was wrong at a step, and returns the error that says so.

    Args:
      setup: of the run.
      phase: that the step is in.
      state: before the step.
      step: its number, from 1.
      directory: of the run.
      last: step of the last checkpoint, or None.
    """
    wrong = diagnose(setup, phase, state, step)
    if is_main():
        write_json(directory / FILE, wrong)
    kept = "there is no checkpoint yet" if last is None else f"the checkpoint of step {last} is as it was"
    return NonFiniteError(
        f"{directory}: step {step} is not finite, first in {wrong['leaf']} (loss {wrong['loss']}); its "
        f"{len(wrong['examples'])} examples are in {FILE}, {kept}; lower the learning rate, look at them, or set "
        "config.on_nan to skip"
    )
