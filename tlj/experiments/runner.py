"""Trains what is missing of a grid, some runs at a time, and stops cleanly."""

from __future__ import annotations

import concurrent.futures
import functools
import json
import pathlib
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from tlj.distributed import PreemptedError, agree, stop_requested
from tlj.errors import InputError
from tlj.experiments.grid import PlannedRun
from tlj.progress import Progress, say
from tlj.training.identity import decisive
from tlj.training.loop import train_run
from tlj.training.non_finite import NonFiniteError
from tlj.training.programs import Programs
from tlj.training.run_progress import RunProgress
from tlj.training.setup import set_up
from tlj.training.surroundings import StoppedError, Surroundings


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
        do = "use another --workdir, or the old values"
        if "global_batch_size" in difference:
            do += " (with config.parallel.batch_per_device=0: it makes the batch of the devices that are there)"
        raise InputError(f"this run was made with another config: {changes}", where=str(directory), do=do)


def run_all(runs: Sequence[PlannedRun], workdir: pathlib.Path, programs: Programs, workers: int) -> int:
    """Trains every run that is not done, ``workers`` at a time in threads of this process.

    Runs share the compiled programs, and JAX leaves Python's lock while a program runs, so two small runs on two cores
    take less time than one after the other. A stopped or failed run leaves the others' files whole. One whose loss was
    not finite stops alone: the others are trained, and then it is told.

    Args:
      runs: the grid.
      workdir: of the comparison.
      programs: compiled once, used by all.
      workers: runs at a time; on several devices one, as programs that wait for each other on every device must not
        come to them in two orders.

    Returns:
      How many runs were trained; those that were done are not counted.

    Raises:
      KeyboardInterrupt: after every run has stopped, when the user stopped them.
      NonFiniteError: after every other run was trained.
      Exception: the first that a run raised, after the others have stopped.
    """
    missing = agree([i for i, run in enumerate(runs) if not (workdir / run.folder / "summary.json").exists()])
    if not missing:
        return 0
    progress = Progress(f"{len(missing)} of {len(runs)} runs", len(missing))
    shared, diverged = Surroundings(programs, threading.Event()), []

    def train(run: PlannedRun) -> None:
        if shared.stop.is_set():
            raise StoppedError
        if stop_requested(0):
            # Begun, each would take a step and save it: many take longer than the deadline leaves them.
            raise PreemptedError(f"{workdir / run.folder}: not begun, by SIGTERM; run the same command again to go on")
        setup = set_up(run.config, workdir)
        try:
            train_run(setup, workdir / run.folder, run.config_hash, shared)
        except NonFiniteError as error:
            say(f"tlj: {error}")
            diverged.append(run)
        progress.advance(last=f"{run.arm.name}, {run.budget} labels, seed {run.seed}")

    with progress.shown():
        _in_threads([functools.partial(train, runs[i]) for i in missing], workers, shared.stop)
    if diverged:
        which = ", ".join(str(run.folder) for run in diverged[:5])
        raise NonFiniteError(
            f"{len(diverged)} of {len(runs)} runs are not there, as their loss was not finite: {which}; the others are "
            "trained and stay; lower the learning rate, or set config.on_nan to skip in another workdir"
        )
    return len(missing)


def _in_threads(tasks: Sequence[Callable[[], None]], workers: int, stop: threading.Event) -> None:
    """Does tasks, so many at a time, until the first fails or the user stops them; then the others stop, too."""
    workers = workers if jax.device_count() == 1 else 1
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        try:
            futures = [pool.submit(task) for task in tasks]
            finished, _ = concurrent.futures.wait(futures, return_when=concurrent.futures.FIRST_EXCEPTION)
        except KeyboardInterrupt:
            stop.set()
            raise
        failures = [future.exception() for future in finished if future.exception()]
        if failures and not isinstance(failures[0], PreemptedError):
            # A run that is preempted writes a checkpoint, and so do the others: they are not stopped.
            stop.set()
    failures = [future.exception() for future in futures if future.done() and future.exception()]
    if failures:
        raise next((failure for failure in failures if not isinstance(failure, StoppedError)), failures[0])


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
    progress = RunProgress(what, config)
    shared = Surroundings(programs, on_begin=progress.begin, on_step=progress.advance, on_window=progress.on_window)
    with progress.shown():
        return train_run(setup, directory, config_hash, shared)
