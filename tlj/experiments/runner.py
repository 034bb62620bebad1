"""Trains what is missing of a grid, some runs at a time, and stops cleanly."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import pathlib
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from tlj.errors import InputError
from tlj.experiments.grid import PlannedRun
from tlj.progress import Progress
from tlj.training.identity import decisive
from tlj.training.loop import StoppedError, Surroundings, train_run
from tlj.training.programs import Programs
from tlj.training.setup import set_up


def check_same_config(directory: pathlib.Path, config: Mapping[str, Any]) -> None:
    """Checks that a run directory is new or was made with this config.

    Raises:
      InputError: naming what differs, so that no run is mistaken for another.
    """
    from tlj import config as configuration

    path = directory / "config.json"
    if not path.exists():
        return
    difference = configuration.diff(decisive(json.loads(path.read_text())), decisive(config))
    if difference:
        changes = ", ".join(f"{key} was {old!r} and is {new!r}" for key, (old, new) in difference.items())
        raise InputError(
            f"this run was made with another config: {changes}",
            where=str(directory),
            do="use another --workdir, or the old values",
        )


def run_all(runs: Sequence[PlannedRun], workdir: pathlib.Path, programs: Programs, workers: int) -> int:
    """Trains every run that is not done, ``workers`` at a time in threads of this process.

    Runs share the compiled programs, and JAX leaves Python's lock while a program runs, so two small runs on two cores
    take less time than one after the other. A stopped or failed run leaves the others' files whole.

    Args:
      runs: the grid.
      workdir: of the comparison.
      programs: compiled once, used by all.
      workers: runs at a time.

    Returns:
      How many runs were trained; those that were done are not counted.

    Raises:
      KeyboardInterrupt: after every run has stopped, when the user stopped them.
      Exception: the first that a run raised, after the others have stopped.
    """
    missing = [run for run in runs if not (workdir / run.folder / "summary.json").exists()]
    if not missing:
        return 0
    progress = Progress(f"{len(missing)} of {len(runs)} runs", len(missing))
    shared = Surroundings(programs, threading.Event())

    def train(run: PlannedRun) -> None:
        if shared.stop.is_set():
            raise StoppedError
        setup = set_up(run.config, workdir)
        train_run(setup, workdir / run.folder, run.config_hash, shared)
        progress.advance(last=f"{run.arm.name}, {run.budget} labels, seed {run.seed}")

    with progress.shown(), concurrent.futures.ThreadPoolExecutor(workers) as pool:
        try:
            futures = [pool.submit(train, run) for run in missing]
            finished, _ = concurrent.futures.wait(futures, return_when=concurrent.futures.FIRST_EXCEPTION)
        except KeyboardInterrupt:
            shared.stop.set()
            raise
        failures = [future.exception() for future in finished if future.exception()]
        if failures:
            shared.stop.set()
            raise next((failure for failure in failures if not isinstance(failure, StoppedError)), failures[0])
    return len(missing)


def train_one(
    config: Mapping[str, Any],
    directory: pathlib.Path,
    base: pathlib.Path,
    what: str,
    config_hash: str,
    programs: Programs,
) -> dict[str, Any]:
    """Trains one run with a bar that counts steps.

    Args:
      config: resolved, nested.
      directory: of the run.
      base: what a relative ``model.source`` is relative to.
      what: names the run beside the bar.
      config_hash: of the config.
      programs: compiled programs to share.

    Returns:
      The run's summary.
    """
    setup = set_up(config, base)
    progress = Progress(what, config["steps"])
    shared = dataclasses.replace(Surroundings(programs), on_step=progress.advance)
    with progress.shown():
        return train_run(setup, directory, config_hash, shared)
