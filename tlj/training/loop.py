"""The training loop: set up, restore, step, pause to evaluate and save, test once, and leave the files of a run."""

from __future__ import annotations

import dataclasses
import functools
import json
import pathlib
from typing import Any

from tlj.data.splits import SealedTest
from tlj.distributed import PreemptedError, agree, barrier, check_alike, is_main
from tlj.freezing.digests import check_phase_end
from tlj.pretrained.formats.tokenizer_files import carry_tokenizer_files
from tlj.pretrained.runs import TOKENIZER
from tlj.progress import say
from tlj.training.averages import averaged
from tlj.training.best_state import best_of, best_state
from tlj.training.cached.run import CachedRun
from tlj.training.checkpoints import Checkpoints
from tlj.training.clock import Clock
from tlj.training.compiled import abstract_state, initial_state, run_keys, thawed_state
from tlj.training.dues import Dues
from tlj.training.held_out import final_metrics, predict_held_out, validate
from tlj.training.manifest import check_same_split, manifest
from tlj.training.non_finite import refuse
from tlj.training.phase_record import PhaseRecord
from tlj.training.run_checkpoints import open_checkpoints
from tlj.training.run_files import full_disk_told, read_metrics, write_json
from tlj.training.run_lock import only_here
from tlj.training.run_logs import LOG, RunLogs
from tlj.training.run_record import RunRecord
from tlj.training.setup import Setup
from tlj.training.state import TrainState
from tlj.training.stepping import StepPrograms, Window, calls_from
from tlj.training.stopping import Stopping, early_stopping
from tlj.training.stretch import Held, Own, Steps, Stretch, alone
from tlj.training.summary import run_summary
from tlj.training.surroundings import StoppedError, Surroundings

PREDICTIONS, MANIFEST = "predictions.parquet", "manifest.json"


@dataclasses.dataclass(frozen=True, eq=False)
class _Run:
    """What the parts of one run's story need."""

    setup: Setup
    directory: pathlib.Path
    shared: Surroundings
    cached: CachedRun
    checkpoints: Checkpoints
    record: RunRecord
    clock: Clock
    logs: RunLogs
    stopping: Stopping | None
    dues: Dues

    def is_over(self, step: int) -> bool:
        """Whether the run is over at a step."""
        return step >= self.dues.steps or self.record.stopped_at is not None

    def phase_is_over(self, step: int) -> bool:
        """Whether the phase that the run is in is over at a step."""
        following = self.setup.phases[self.record.phase.index + 1 :][:1]
        return self.is_over(step) or self.record.phase.is_over(following[0].start if following else None, step)


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
      InputError: if another process trains it, or one that trains it too has other data; or the directory holds a
        checkpoint of another config or phase, or a delta of another base.
      FrozenChangedError: if anything frozen changed.
      StoppedError: if asked to stop.
      PreemptedError: if the process is to end, by SIGTERM; a checkpoint of this very step was written.
      RunError: if the disk is full, or a checkpoint cannot be written.
      NonFiniteError: if a loss or gradient was not finite and the config says to stop.
    """
    return alone(run_steps(setup, directory, config_hash, shared))


def run_steps(setup: Setup, directory: pathlib.Path, config_hash: str, shared: Surroundings) -> Steps[dict[str, Any]]:
    """Does what ``train_run`` does, but asks for its steps, which may be taken together with those of other runs.

    Args: those of ``train_run``, which is this with every stretch taken as it comes.
    """
    # Data that differs has another hash, and each process reads its rows from its own.
    check_alike({"the hash of config, data and source": config_hash}, "give all of them the same files")
    done, predictions = directory / "summary.json", directory / PREDICTIONS
    if agree(done.exists()):
        return json.loads(done.read_text())
    with only_here(directory), full_disk_told(directory):
        # A process that was killed after its test has left the predictions, and the test stays closed.
        predicted = agree(predictions.exists())
        sealed = SealedTest(setup.split.test, int(predicted and setup.config["evaluate"]["test"]))
        check_same_split(setup, directory / MANIFEST)
        cached = CachedRun(setup, shared.programs, shared.commons and shared.commons.digest_of)
        variables, made_of = _begin(setup, cached, directory, config_hash)
        with open_checkpoints(setup, directory, config_hash, made_of) as checkpoints:
            restored = checkpoints.restore_latest(functools.partial(abstract_state, setup, whole=True))
            state, record = _going_on(cached, *restored) if restored else _first(setup, cached, shared, variables)
            # The state has its own copy, and a run that waits for others would keep this one as long as it trains.
            del variables, restored
            clock, step = Clock.from_json(record.clock), int(state.step)
            dues, stopping = Dues.of(setup.config, setup.phases), early_stopping(setup.config, record.stopping)
            with RunLogs(setup, directory, config_hash, step, shared.on_window) as logs:
                run = _Run(setup, directory, shared, cached, checkpoints, record, clock, logs, stopping, dues)
                shared.on_begin(step)
                state = yield from _train(run, state)
        best = best_of(setup, record, directory, int(state.step)) if setup.config["evaluate"]["best"] else None
        if not predicted:
            with clock.pause("evaluate"):
                _predict(run, averaged(state, setup.config), sealed, predictions, best)
        return _finish(run, sealed, done, predictions, best)


def _begin(
    setup: Setup, cached: CachedRun, directory: pathlib.Path, config_hash: str
) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """Returns the manifest of a run and, where it is new, the variables it starts from, once all is written down."""
    if agree((directory / MANIFEST).exists()):
        return None, json.loads((directory / MANIFEST).read_text())
    variables, report = cached.variables()
    made_of = manifest(setup, report, config_hash)
    if is_main():
        write_json(directory / "config.json", setup.config)
        if files := setup.fit.tokenizer_files:
            # Before the manifest, which is what makes the directory a run that can be read.
            carry_tokenizer_files(files, setup.preprocessing.tokenizer, directory / TOKENIZER)
        write_json(directory / MANIFEST, made_of)
    return variables, made_of


def _first(
    setup: Setup, cached: CachedRun, shared: Surroundings, variables: dict[str, Any] | None
) -> tuple[TrainState, RunRecord]:
    """Returns the state of a run at step 0, with the record of its first phase."""
    variables = cached.above(cached.variables()[0] if variables is None else variables)
    state, phase = initial_state(cached.setup(0), setup.phases[0], variables, shared.programs), setup.phases[0]
    cached.keep(variables, 0)
    if shared.commons is not None:
        state = shared.commons.taken_up(state, variables["params"], phase)
    digests = cached.digests(state, 0)
    if shared.commons is not None:
        shared.commons.remember(state, variables["params"], phase, digests)
    return state, RunRecord(PhaseRecord(digests))


def _going_on(cached: CachedRun, state: TrainState, record: RunRecord) -> tuple[TrainState, RunRecord]:
    """Returns a state that was restored as its phase takes it."""
    return cached.goes_on(state, record.phase.start_digests, record.phase.index), record


def _train(run: _Run, state: TrainState) -> Steps[TrainState]:
    """Trains phase after phase, from where the state is to the end of the run, and checks each phase at its end."""
    phases, record, cached = run.setup.phases, run.record.phase, run.cached
    while True:
        phase = phases[record.index]
        state = yield from _train_phase(run, state)
        digests = cached.digests(state, record.index)
        never_moved, step = check_phase_end(phase, record.start_digests, digests), int(state.step)
        if never_moved:
            say(f"tlj: {run.directory}: trained, but never moved: {', '.join(never_moved)}")
        if run.is_over(step):
            for later in phases[record.index + 1 :][:1]:
                what = f"phase {record.index} of 0 to {len(phases) - 1} was the last: the next waits for"
                say(f"tlj: {run.directory}: {what} {later.start}")
            record.never_moved = sorted({*record.never_moved, *never_moved})
            return state
        state, following = cached.at_next(state, record.index), record.index + 1
        state = thawed_state(cached.setup(following), phase, phases[following], state, run.shared.programs)
        state = cached.rounded(state, following)
        record.enter_next(step, cached.digests(state, following), list(never_moved))
        if run.stopping:
            run.stopping.begin_phase()
            run.record.stopping = run.stopping.to_json()


def _train_phase(run: _Run, state: TrainState) -> Steps[TrainState]:
    """Asks for the steps from where the state is to the end of its phase, stretch by stretch."""
    clock, record, step = run.clock, run.record.phase, int(state.step)
    if run.phase_is_over(step):
        # Restored where the phase ends: there is nothing to compile for it.
        return state
    setup, phase, index = run.cached.setup(record.index), run.setup.phases[record.index], record.index
    rng = run_keys(setup.config["seed"], setup.config["prng"])
    programs = StepPrograms(setup, phase, index, run.shared.programs, clock)

    def on_steps(count: int, flops: float) -> None:
        record.count(flops * count)
        run.shared.on_step(count)

    clock.begin_phase(index)
    window, stop = Window(clock, index, run.record.window), run.shared.stop
    with calls_from(setup, step, run.dues) as calls:
        fixed = (setup, phase, record.start_digests, rng, calls, programs, window, clock, run.dues, on_steps, stop)
        asked = Stretch(*fixed, held=Own(state), step=step)
        while not run.phase_is_over(asked.step):
            taken = yield asked
            if run.dues.ends_window(taken.step) or taken.leaves:
                _pause(run, taken.held, taken.step, window, taken.leaves)
            if stop.is_set() and not run.is_over(taken.step):
                raise StoppedError
            asked = asked.after(taken.held, taken.step)
    return asked.held.state


def _pause(run: _Run, held: Held, step: int, window: Window, leaves: bool) -> None:
    """Ends a window, and evaluates and saves where that is due; leaving, saves, and cuts a window that does not end."""
    clock, record, dues = run.clock, run.record, run.dues
    setup, index = run.cached.setup(record.phase.index), record.phase.index
    cut = not dues.ends_window(step)
    row, rejected = window.cut(step, held.under_way) if cut else window.end(step, held.under_way)
    if rejected and setup.config["on_nan"] == "stop":
        phase = setup.phases[record.phase.index]
        raise refuse(setup, phase, held.apart, rejected[0], run.directory, run.checkpoints.latest)
    record.window = row if cut else {}
    if not cut:
        record.skipped += len(rejected)
        run.logs.write(row)
    metrics: dict[str, float | None] = {}
    if dues.evaluates(step):
        with clock.pause("evaluate"):
            metrics = validate(setup, run.shared.programs, averaged(held.state, setup.config))
            run.logs.write({"step": step, "phase": record.phase.index, **metrics})
        record.phase.observe(metrics["validation_loss"], setup.config["plateau"]["min_delta"])
        if run.stopping:
            run.stopping.observe(metrics)
            record.stopping = run.stopping.to_json()
            record.stopped_at = step if run.stopping.is_over and step < dues.steps else None
    ends = leaves or record.stopped_at is not None
    if dues.saves(step) or ends or run.checkpoints.is_among_best(record, metrics):
        with clock.pause("checkpoint"):
            record.clock = clock.to_json()
            run.checkpoints.save(run.cached.saved(held.state, index), record, metrics)
    if record.stopped_at is not None:
        say(f"tlj: {run.directory}: stopped early at step {step}: no better {setup.config['early_stopping']['metric']}")
    if leaves:
        # What is said next is to be true.
        run.checkpoints.wait()
        raise PreemptedError(f"{run.directory}: stopped at step {step} by SIGTERM; run the same command again to go on")


def _predict(
    run: _Run, state: TrainState, sealed: SealedTest, predictions: pathlib.Path, best: dict[str, Any] | None
) -> None:
    """Writes the predictions of a state and, where one is told, of the best checkpoint."""
    cached, index, chosen = run.cached, run.record.phase.index, None
    if best:
        chosen = best_state(run.setup, state, run.directory, best["step"], int(state.step))
        chosen = chosen if chosen is state else cached.evaluated(chosen, index)
    whole = (run.setup, cached.whole(state, index)) if run.setup.shifts else None
    predict_held_out(cached.setup(index), run.shared.programs, state, sealed, predictions, chosen, whole)


def _finish(
    run: _Run, sealed: SealedTest, done: pathlib.Path, predictions: pathlib.Path, best: dict[str, Any] | None
) -> dict[str, Any]:
    """Writes ``summary.json``, which says that the run is done, and returns its content."""
    metrics = final_metrics(run.setup, predictions)
    rows = read_metrics(run.directory / LOG)
    metrics["train_loss"] = next((row["loss"] for row in reversed(rows) if "loss" in row), None)
    summary = run_summary(
        run.setup, run.clock, metrics, run.record, sealed.opened, run.cached.depths, run.cached.facts()
    )
    if best:
        summary["best"] = best
    if is_main():
        write_json(done, summary)
    # Another run may read the files of this one, in any process.
    barrier("summary")
    return summary
