"""Trains what is missing of a grid, some runs at a time, and stops cleanly."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
import json
import pathlib
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from tlj.distributed import PreemptedError, agree, stop_requested
from tlj.errors import InputError
from tlj.experiments.batches import Kind, batches
from tlj.experiments.extraction import extract_for_all
from tlj.experiments.failures import forget_failure, is_given_up, note_failure
from tlj.experiments.grid import PlannedRun
from tlj.progress import Progress, say
from tlj.training.cached.extract import depths_of
from tlj.training.cached.run import from_activations
from tlj.training.identity import decisive
from tlj.training.loop import run_steps, train_run
from tlj.training.non_finite import NonFiniteError
from tlj.training.programs import Programs
from tlj.training.read_order import order_key
from tlj.training.run_progress import RunProgress
from tlj.training.setup import set_up
from tlj.training.stretch import Steps
from tlj.training.surroundings import StoppedError, Surroundings
from tlj.training.together.sameness import together_key
from tlj.training.together.train import train_together


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


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of the runs that were to be trained.

    Attributes:
      trained: how many were trained; those that were done before are not counted.
      failed: folders of those that failed for good, now or earlier.
      ended: why no further run was begun, where a comparison declared when it ends; empty where all were.
    """

    trained: int = 0
    failed: tuple[str, ...] = ()
    ended: str = ""


def run_all(
    runs: Sequence[PlannedRun],
    workdir: pathlib.Path,
    programs: Programs,
    workers: int,
    ends: Callable[[], str] = lambda: "",
    *,
    batch_runs: int = 1,
    seed_by_seed: bool = False,
) -> Outcome:
    """Trains every run that is not done, ``workers`` at a time in threads of this process.

    Runs share the compiled programs, and JAX leaves Python's lock while one runs, so two small runs on two cores take
    less time than one after the other. A stopped or failed run leaves the others' files whole. One whose loss was not
    finite is tried once more and then left alone: its directory says so, and the others are trained.

    Args:
      runs: the grid.
      workdir: of the comparison.
      programs: compiled once, used by all.
      workers: runs, or batches of them, at a time; on several devices one, as programs that wait for each other on
        every device must not come to them in two orders.
      ends: asked before each run, or batch of them: why it is not to begin, or nothing.
      batch_runs: most runs of one shape that are trained together in one program (``train_together``).
      seed_by_seed: whether only runs of one seed are.

    Returns:
      What became of them.

    Raises:
      KeyboardInterrupt: after every run has stopped, when the user stopped them.
      Exception: the first that a run raised, after the others have stopped.
    """
    # Arms that have two parities in common share a run.
    runs = list({run.folder: run for run in runs}.values())
    missing, given_up = _left(runs, workdir)
    failed, ended, trained = [str(run.folder) for run in given_up], [], []
    if not missing:
        return Outcome(failed=tuple(failed))
    progress = Progress(f"{len(missing)} of {len(runs)} runs", len(missing))
    shared = Surroundings(programs, threading.Event())

    def train(batch: Sequence[PlannedRun]) -> None:
        _check_begins(workdir / batch[0].folder, shared.stop)
        if ended or (reason := ends()):
            ended.append(ended[0] if ended else reason)
            return
        done = _try_together(batch, workdir, shared, batch_runs) if len(batch) > 1 else set()
        for run in batch:
            if run.folder in done or _try_twice(run, workdir, shared):
                trained.append(run)
            else:
                failed.append(str(run.folder))
            progress.advance(last=run.about)

    with progress.shown():
        together = _together(missing, workdir, programs, batch_runs, seed_by_seed)
        _in_threads([functools.partial(train, batch) for batch in together], workers, shared.stop)
    return Outcome(len(trained), tuple(sorted(failed)), ended[0] if ended else "")


def _check_begins(directory: pathlib.Path, stop: threading.Event) -> None:
    """Raises the error for a run that is not to begin any more."""
    if stop.is_set():
        raise StoppedError
    if stop_requested(0):
        # Begun, each would take a step and save it: many take longer than the deadline leaves them.
        raise PreemptedError(f"{directory}: not begun, by SIGTERM; run the same command again to go on")


def _left(runs: Sequence[PlannedRun], workdir: pathlib.Path) -> tuple[list[PlannedRun], list[PlannedRun]]:
    """The runs that are to be trained, and those that have failed so often that they are not."""
    places = agree([i for i, run in enumerate(runs) if not (workdir / run.folder / "summary.json").exists()])
    given_up = [runs[i] for i in places if is_given_up(workdir / runs[i].folder)]
    return [runs[i] for i in places if runs[i] not in given_up], given_up


def _together(
    runs: Sequence[PlannedRun], workdir: pathlib.Path, programs: Programs, batch_runs: int, seed_by_seed: bool
) -> list[list[PlannedRun]]:
    """The runs that are trained together, each by itself where ``batch_runs`` is 1."""
    if batch_runs == 1:
        return [[run] for run in runs]
    setups, kinds = [set_up(run.config, workdir) for run in runs], []
    extract_for_all(setups, programs)
    for run, setup in zip(runs, setups, strict=True):
        setup = from_activations(setup, depths_of(setup)[0])
        apart = run.seed if seed_by_seed else None
        kinds.append(Kind((together_key(setup, setup.phases[0]), apart), order_key(setup)))
    return [[runs[place] for place in batch] for batch in batches(kinds, batch_runs)]


def _try_together(
    runs: Sequence[PlannedRun], workdir: pathlib.Path, shared: Surroundings, batch_runs: int
) -> set[pathlib.PurePosixPath]:
    """Trains runs together and returns the folders of those that are done; the others failed for the first time."""

    def begin(run: PlannedRun, together: Surroundings) -> Steps[dict[str, Any]]:
        return run_steps(set_up(run.config, workdir), workdir / run.folder, run.config_hash, together)

    begins, done = [functools.partial(begin, run) for run in runs], set()
    for run, result in zip(runs, train_together(begins, batch_runs, shared), strict=True):
        if isinstance(result, NonFiniteError):
            say(f"tlj: {result}")
            note_failure(workdir / run.folder, result)
        else:
            forget_failure(workdir / run.folder)
            done.add(run.folder)
    return done


def _try_twice(run: PlannedRun, workdir: pathlib.Path, shared: Surroundings) -> bool:
    """Trains a run, once more where its loss was not finite, and returns whether it is done."""
    directory = workdir / run.folder
    while not is_given_up(directory):
        try:
            train_run(set_up(run.config, workdir), directory, run.config_hash, shared)
        except NonFiniteError as error:
            say(f"tlj: {error}")
            note_failure(directory, error)
        else:
            forget_failure(directory)
            return True
    return False


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
