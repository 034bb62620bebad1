"""The training loop: set up, restore, step, pause to evaluate and save, test once, and leave the files of a run."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from tlj.data.pipeline import training_batches
from tlj.data.splits import SealedTest
from tlj.freezing.digests import check_phase_end
from tlj.freezing.partition import Phase
from tlj.pretrained.initialise import initial_variables
from tlj.training.checkpoints import Checkpoints
from tlj.training.clock import Clock
from tlj.training.compiled import (
    abstract_state,
    evaluate_program,
    initial_state,
    run_keys,
    step_program,
)
from tlj.training.evaluate import loss_and_accuracy, predict
from tlj.training.manifest import manifest
from tlj.training.parallel import batch_sharding, put_batch
from tlj.training.programs import Programs
from tlj.training.run_files import MetricsLog, read_metrics, read_predictions, write_json, write_predictions
from tlj.training.setup import Setup
from tlj.training.state import TrainState
from tlj.training.summary import run_summary, state_digests

LOG, PREDICTIONS = "metrics.jsonl", "predictions.parquet"


class StoppedError(Exception):
    """The run was asked to stop; its files let it go on later."""


@dataclasses.dataclass(frozen=True, eq=False)
class Surroundings:
    """What the runs of one process share.

    Attributes:
      programs: compiled once, used by all.
      stop: set to make every run stop at its next step.
      on_step: told how many steps are newly done, those of an earlier process included, for a progress bar.
    """

    programs: Programs = dataclasses.field(default_factory=Programs)
    stop: threading.Event = dataclasses.field(default_factory=threading.Event)
    on_step: Callable[[int], None] = lambda steps: None


@dataclasses.dataclass(frozen=True, eq=False)
class _Run:
    """What the parts of one run's story need."""

    setup: Setup
    phase: Phase
    directory: pathlib.Path
    shared: Surroundings
    clock: Clock
    sealed: SealedTest


def train_run(setup: Setup, directory: pathlib.Path, config_hash: str, shared: Surroundings) -> dict[str, Any]:
    """Trains one run to its end, or goes on with it, or returns at once where it is done.

    Args:
      setup: of the run.
      directory: of the run; its ``summary.json`` says that it is done.
      config_hash: of the resolved config; a checkpoint of another config is refused.
      shared: what runs of one process share.

    Returns:
      The content of ``summary.json``.

    Raises:
      InputError: if the directory holds a checkpoint of another config or phase.
      FrozenChangedError: if anything frozen changed.
      StoppedError: if asked to stop.
    """
    done = directory / "summary.json"
    if done.exists():
        return json.loads(done.read_text())
    begin = time.perf_counter()
    (phase,) = setup.phases
    # A process that was killed after its test has left the predictions, and the test stays closed.
    earlier = int((directory / PREDICTIONS).exists())
    run = _Run(setup, phase, directory, shared, Clock(), SealedTest(setup.split.test, earlier))
    program, compiled = step_program(setup, phase, shared.programs)
    identity = {"phase": phase.digest, "config": config_hash}
    with Checkpoints(directory / "checkpoints", setup.config["checkpoint"]["keep"], identity) as checkpoints:
        restored = checkpoints.restore_latest(abstract_state(setup, phase))
        state, start_digests = restored or _start(run, config_hash)
        state = _train_phase(run, state, start_digests, checkpoints)
    never_moved = check_phase_end(phase, start_digests, state_digests(state))
    if never_moved:
        print(f"tlj: {directory}: trained, but never moved: {', '.join(never_moved)}", file=sys.stderr)
    metrics = _test_once(run, state)
    metrics["train_loss"] = next(
        (row["loss"] for row in reversed(read_metrics(run.directory / LOG)) if "loss" in row), None
    )
    summary = run_summary(setup, program, run.clock, metrics, never_moved, run.sealed.opened)
    summary["timing"] |= {
        "wall_s": time.perf_counter() - begin,
        "compile_s": program.compile_s if compiled else 0.0,
    }
    write_json(done, summary)
    return summary


def _start(run: _Run, config_hash: str) -> tuple[TrainState, dict[str, str]]:
    """Writes what the run is made of, and returns its state at step 0 with the digests of it."""
    setup = run.setup
    write_json(run.directory / "config.json", setup.config)
    variables, report = initial_variables(setup.init, setup.spec, setup.pretrained, setup.config["seed"])
    write_json(run.directory / "manifest.json", manifest(setup, report, config_hash))
    state = initial_state(setup, run.phase, variables, run.shared.programs)
    return state, state_digests(state)


def _train_phase(run: _Run, state: TrainState, start_digests: dict[str, str], checkpoints: Checkpoints) -> TrainState:
    """Steps from where the state is to the end of the phase."""
    setup, clock = run.setup, run.clock
    config, steps = setup.config, setup.config["steps"]
    program, _ = step_program(setup, run.phase, run.shared.programs)
    sharding, rng = batch_sharding(setup.mesh), run_keys(config["seed"])
    batches = training_batches(
        setup.source,
        setup.split.train,
        batch_size=config["global_batch_size"],
        seed=config["seed"],
        steps=steps,
    )
    step, pending = int(state.step), []
    if step:
        run.shared.on_step(step)
    with contextlib.closing(MetricsLog(run.directory / LOG, step)) as log:
        clock.begin()
        while step < steps:
            with clock.charge("input_wait"):
                batch = put_batch(batches[step], sharding)
            state, metrics = program.call(state, batch, rng)
            pending.append(metrics)
            step += 1
            evaluates = _is_due(step, config["evaluate"]["every"], steps)
            saves = _is_due(step, config["checkpoint"]["every"], steps)
            if evaluates or saves or _is_due(step, config["log"]["every"], steps):
                # A window ends before anything interrupts the steps, and a restart begins where a window did.
                jax.block_until_ready(state)
                step_s = clock.end(len(pending))
                with clock.pause("logging"):
                    log.write({"step": step, "phase": 0, **_window(pending), "timing": {"step_s": step_s}})
                pending = []
            if evaluates:
                with clock.pause("evaluate"):
                    log.write({"step": step, "phase": 0, **_validate(run, state)})
            if saves:
                with clock.pause("checkpoint"):
                    checkpoints.save(state, start_digests)
            run.shared.on_step(1)
            if run.shared.stop.is_set() and step < steps:
                raise StoppedError
    return state


def _is_due(step: int, every: int, steps: int) -> bool:
    """Whether something that happens every so many steps, and at the end, happens after this one."""
    return step == steps or bool(every and step % every == 0)


def _window(pending: list[dict[str, Any]]) -> dict[str, Any]:
    """The mean of each metric over the steps of a window, and the learning rates of its last."""
    rows = jax.device_get(pending)
    means = {
        name: float(np.mean([row[name] for row in rows], dtype=np.float64))
        for name in ("loss", "accuracy", "gradient_norm")
    }
    return {**means, "learning_rate": {name: float(rate) for name, rate in rows[-1]["learning_rate"].items()}}


def _predict(run: _Run, state: TrainState, examples: np.ndarray) -> np.ndarray:
    evaluate = evaluate_program(run.setup, run.shared.programs).call
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    batch_size = run.setup.config["evaluate"]["batch_size"]
    return predict(evaluate, variables, run.setup.source, examples, batch_size, batch_sharding(run.setup.mesh))


def _validate(run: _Run, state: TrainState) -> dict[str, float]:
    examples = run.setup.split.validation
    loss, accuracy = loss_and_accuracy(_predict(run, state, examples), run.setup.source.labels[examples])
    return {"validation_loss": loss, "validation_accuracy": accuracy}


def _test_once(run: _Run, state: TrainState) -> dict[str, float | None]:
    """Returns the final metrics; the test split is opened for them unless a process before this one has done it."""
    path = run.directory / PREDICTIONS
    if not run.sealed.opened:
        with run.clock.pause("evaluate"):
            _write_predictions(run, state, path)
    metrics: dict[str, float | None] = {}
    for name, (logits, labels) in read_predictions(path).items():
        metrics[f"{name}_loss"], metrics[f"{name}_accuracy"] = loss_and_accuracy(logits, labels)
    return metrics


def _write_predictions(run: _Run, state: TrainState, path: pathlib.Path) -> None:
    source, parts = run.setup.source, {"validation": run.setup.split.validation, "test": run.sealed.open()}
    examples = np.concatenate(list(parts.values()))
    write_predictions(
        path,
        [source.ids[i] for i in examples],
        source.labels[examples],
        np.concatenate([_predict(run, state, part) for part in parts.values()]),
        [name for name, part in parts.items() for _ in part],
    )
