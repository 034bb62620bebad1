"""Traces of a few steps for the usual viewers: TensorBoard with the XProf plugin, and Perfetto."""

from __future__ import annotations

import pathlib
import re

import jax

from tlj.benchmark.windows import Stepper
from tlj.errors import InputError
from tlj.named_paths import check_folder

STEPS = 5
HOW = (
    "traces: {folder}; see them with `tensorboard --logdir={folder}` (pip install tensorboard xprof), or give a "
    "perfetto_trace.json.gz in it to ui.perfetto.dev"
)


def check_traces(folder: pathlib.Path) -> None:
    """Checks that traces can go to a folder, which is new or empty; nothing is made.

    Raises:
      InputError: where they cannot.
    """
    check_folder(folder, "--profile")
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder} is not empty", where="--profile", do="give a new folder")


def trace_folder(folder: pathlib.Path, strategy: str, phase: int, batch: int) -> pathlib.Path:
    """Returns where the trace of a phase goes, below the folder of all."""
    return folder / f"{re.sub(r'[^A-Za-z0-9.-]+', '_', strategy)}-phase{phase}-batch{batch}"


def write_trace(stepper: Stepper, folder: pathlib.Path, strategy: str, phase: int) -> None:
    """Writes a trace of a few steps, taken after some that are not traced.

    Args:
      stepper: of the phase.
      folder: of all traces.
      strategy: that the phase is of.
      phase: its number.
    """
    place = trace_folder(folder, strategy, phase, stepper.setup.config["global_batch_size"])
    stepper.window(STEPS, around=jax.profiler.trace(place, create_perfetto_trace=True))
