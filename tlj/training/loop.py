"""The training loop: set up, restore, step, pause to evaluate and save, test once, and leave the files of a run."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import pathlib
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from tlj.data.splits import SealedTest
from tlj.freezing.digests import check_phase_end
from tlj.pretrained.formats.tokenizer_files import carry_tokenizer_files
from tlj.pretrained.runs import TOKENIZER
from tlj.training.checkpoints import Checkpoints
from tlj.training.clock import Clock
from tlj.training.compiled import abstract_state, initial_state, run_keys, thawed_state
from tlj.training.delta import delta_of
from tlj.training.held_out import final_metrics, predict_test, validate
from tlj.training.initial import start_variables
from tlj.training.manifest import check_same_split, manifest
from tlj.training.phase_record import PhaseRecord
from tlj.training.programs import Programs
from tlj.training.run_files import MetricsLog, read_metrics, write_json
from tlj.training.setup import Setup
from tlj.training.state import TrainState
from tlj.training.stepping import INPUT_WAIT, StepPrograms, Window, batches_from
from tlj.training.summary import run_summary, state_digests

LOG, PREDICTIONS, MANIFEST = "metrics.jsonl", "predictions.parquet", "manifest.json"


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
    directory: pathlib.Path
    shared: Surroundings
    clock: Clock
    checkpoints: Checkpoints
    # Seconds of compilation by phase; the programs of a phase that another run has compiled cost nothing.
    compile_s: dict[int, float] = dataclasses.field(default_factory=dict)


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
      InputError: if the directory holds a checkpoint of another config or phase, or a delta of another base.
      FrozenChangedError: if anything frozen changed.
      StoppedError: if asked to stop.
    """
    done, predictions = directory / "summary.json", directory / PREDICTIONS
    if done.exists():
        return json.loads(done.read_text())
    begin = time.perf_counter()
    # A process that was killed after its test has left the predictions, and the test stays closed.
    sealed = SealedTest(setup.split.test, int(predictions.exists()))
    latest, delta = setup.config["checkpoint"]["latest"], delta_of(setup)
    with Checkpoints(directory / "checkpoints", latest, config_hash, setup.phases, delta) as checkpoints:
        run = _Run(setup, directory, shared, Clock(), checkpoints)
        restored = checkpoints.restore_latest(functools.partial(abstract_state, setup))
        check_same_split(setup, directory / MANIFEST)
        state, record = restored or _start(run, config_hash)
        state = _train(run, state, record)
    if not sealed.opened:
        with run.clock.pause("evaluate"):
            predict_test(setup, shared.programs, state, sealed, predictions)
    metrics = final_metrics(predictions)
    rows = read_metrics(directory / LOG)
    metrics["train_loss"] = next((row["loss"] for row in reversed(rows) if "loss" in row), None)
    summary = run_summary(setup, run.clock, metrics, record, sealed.opened)
    summary["timing"] |= {
        "wall_s": time.perf_counter() - begin,
        "compile_s": sum(run.compile_s.values()),
        "compile_s_by_phase": {str(index): seconds for index, seconds in run.compile_s.items()},
    }
    write_json(done, summary)
    return summary


def _start(run: _Run, config_hash: str) -> tuple[TrainState, PhaseRecord]:
    """Writes what the run is made of, and returns its state at step 0 with the record of its first phase."""
    setup = run.setup
    write_json(run.directory / "config.json", setup.config)
    variables, report = start_variables(setup)
    if files := setup.fit.tokenizer_files:
        # Before the manifest, which is what makes the directory a run that can be read.
        carry_tokenizer_files(files, setup.preprocessing.tokenizer, run.directory / TOKENIZER)
    write_json(run.directory / MANIFEST, manifest(setup, report, config_hash))
    state = initial_state(setup, setup.phases[0], variables, run.shared.programs)
    return state, PhaseRecord(state_digests(state))


def _train(run: _Run, state: TrainState, record: PhaseRecord) -> TrainState:
    """Trains phase after phase, from where the state is to the end of the run, and checks each phase at its end."""
    phases, steps = run.setup.phases, run.setup.config["steps"]
    if int(state.step):
        run.shared.on_step(int(state.step))
    with contextlib.closing(MetricsLog(run.directory / LOG, int(state.step))) as log:
        while True:
            phase = phases[record.index]
            state = _train_phase(run, state, record, log)
            never_moved = check_phase_end(phase, record.start_digests, state_digests(state))
            if never_moved:
                print(f"tlj: {run.directory}: trained, but never moved: {', '.join(never_moved)}", file=sys.stderr)
            if int(state.step) == steps:
                for later in phases[record.index + 1 :][:1]:
                    what = f"phase {record.index} of 0 to {len(phases) - 1} was the last: the next waits for"
                    print(f"tlj: {run.directory}: {what} {later.start}", file=sys.stderr)
                record.never_moved = sorted({*record.never_moved, *never_moved})
                return state
            state = thawed_state(run.setup, phase, phases[record.index + 1], state, run.shared.programs)
            record.enter_next(int(state.step), state_digests(state), list(never_moved))


def _train_phase(run: _Run, state: TrainState, record: PhaseRecord, log: MetricsLog) -> TrainState:
    """Steps from where the state is to the end of its phase."""
    setup, clock, config, index = run.setup, run.clock, run.setup.config, record.index
    steps, following = config["steps"], [phase.start for phase in setup.phases[index + 1 : index + 2]]
    end, step = min([steps, *(start for start in following if isinstance(start, int))]), int(state.step)
    if step == steps or record.is_over(next(iter(following), None), step):
        # Restored where the phase ends: there is nothing to compile for it.
        return state
    rng, programs = run_keys(config["seed"]), StepPrograms(setup, setup.phases[index], run.shared.programs, clock)
    clock.begin_phase(index)
    window = Window(clock, index)
    with batches_from(setup, step) as batches:
        while step < steps and not record.is_over(next(iter(following), None), step):
            with clock.charge(INPUT_WAIT):
                batch = next(batches)
            program = programs.of(batch, state)
            state, metrics = program.call(state, batch, rng)
            window.add(metrics)
            record.count(program.flops)
            step += 1
            evaluates = _is_due(step, config["evaluate"]["every"], steps)
            saves = _is_due(step, config["checkpoint"]["every"], steps)
            if evaluates or saves or _is_due(step, config["log"]["every"], end):
                # A window ends before anything interrupts the steps, and a restart begins where a window did.
                window.end(step, state, log)
            if evaluates:
                with clock.pause("evaluate"):
                    validated = validate(setup, run.shared.programs, state)
                    log.write({"step": step, "phase": index, **validated})
                record.observe(validated["validation_loss"], config["plateau"]["min_delta"])
            if saves:
                with clock.pause("checkpoint"):
                    run.checkpoints.save(state, record)
            run.shared.on_step(1)
            if run.shared.stop.is_set() and step < steps:
                raise StoppedError
    run.compile_s[index] = programs.compile_s
    return state


def _is_due(step: int, every: int, steps: int) -> bool:
    """Whether something that happens every so many steps, and at the end, happens after this one."""
    return step == steps or bool(every and step % every == 0)
