"""The training loop: set up, restore, step, pause to evaluate and save, test once, and leave the files of a run."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import threading
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from tlj.data.pipeline import training_batches
from tlj.data.splits import SealedTest
from tlj.freezing.digests import check_phase_end, leaf_digests
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
from tlj.training.run_files import MetricsLog, write_json, write_predictions
from tlj.training.setup import Setup
from tlj.training.state import TrainState


class StoppedError(Exception):
    """The run was asked to stop; its files let it go on later."""


@dataclasses.dataclass(frozen=True, eq=False)
class Surroundings:
    """What the runs of one process share.

    Attributes:
      programs: compiled once, used by all.
      stop: set to make every run stop at its next step.
      on_step: told after every step, for a progress bar.
    """

    programs: Programs = dataclasses.field(default_factory=Programs)
    stop: threading.Event = dataclasses.field(default_factory=threading.Event)
    on_step: Callable[[], None] = lambda: None


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
      FrozenChangedError: if anything frozen changed.
      StoppedError: if asked to stop.
    """
    done = directory / "summary.json"
    if done.exists():
        return json.loads(done.read_text())
    begin, clock = time.perf_counter(), Clock()
    directory.mkdir(parents=True, exist_ok=True)
    write_json(directory / "config.json", setup.config)
    variables, report = initial_variables(setup.init, setup.spec, setup.pretrained, setup.config["seed"])
    write_json(directory / "manifest.json", manifest(setup, report, config_hash))

    (phase,) = setup.phases
    program, compiled = step_program(setup, phase, shared.programs)
    identity = {"phase": phase.digest, "config": config_hash}
    with Checkpoints(directory / "checkpoints", setup.config["checkpoint"]["keep"], identity) as checkpoints:
        restored = checkpoints.restore_latest(abstract_state(setup, phase))
        if restored:
            state, start_digests = restored
        else:
            state = initial_state(setup, phase, variables, shared.programs)
            start_digests = _digests(state)
        state, final = _train_phase(setup, phase, state, start_digests, checkpoints, directory, clock, shared)

    never_moved = check_phase_end(phase, start_digests, _digests(state))
    metrics, opened = _test_once(setup, state, directory, clock, shared)
    devices = setup.mesh.size
    step_s = clock.step_s()
    summary = {
        **{name: setup.config[name] for name in ("strategy", "seed", "steps")},
        "init": setup.init,
        "label_budget": len(setup.split.train) + len(setup.split.validation),
        "classes": list(setup.source.classes),
        **{f"{part}_examples": len(getattr(setup.split, part)) for part in ("train", "validation", "test")},
        "test_opened": opened,
        "metrics": {**final, **metrics},
        "parameters": _parameter_counts(state, phase),
        "flops": {"per_step": program.flops, "training_total": program.flops * setup.config["steps"]},
        "frozen_unchanged": True,
        "never_moved": list(never_moved),
        "timing": {
            "wall_s": time.perf_counter() - begin,
            "step_s": step_s,
            "train_s": sum(steps * seconds for steps, seconds in clock.windows),
            "compile_s": program.compile_s if compiled else 0.0,
            **{f"{name}_s": clock.charged[name] for name in ("evaluate", "checkpoint", "input_wait")},
        },
        "cost": {
            "devices": devices,
            "accelerator_seconds": step_s * setup.config["steps"] * devices if step_s else None,
        },
    }
    write_json(done, summary)
    return summary


def _train_phase(
    setup: Setup,
    phase: Phase,
    state: TrainState,
    start_digests: dict[str, str],
    checkpoints: Checkpoints,
    directory: pathlib.Path,
    clock: Clock,
    shared: Surroundings,
) -> tuple[TrainState, dict[str, float | None]]:
    """Steps from where the state is to the end of the phase."""
    config, steps = setup.config, setup.config["steps"]
    program, _ = step_program(setup, phase, shared.programs)
    sharding, rng = batch_sharding(setup.mesh), run_keys(config["seed"])
    batches = training_batches(
        setup.source,
        setup.split.train,
        batch_size=config["global_batch_size"],
        seed=config["seed"],
        steps=steps,
    )
    step = int(state.step)
    log = MetricsLog(directory / "metrics.jsonl", step)
    pending, final = [], {}
    try:
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
                jax.block_until_ready(state)
                step_s = clock.end(len(pending))
                with clock.pause("logging"):
                    final = _mean_metrics(pending)
                    rates = {name: float(rate) for name, rate in pending[-1]["learning_rate"].items()}
                    log.write({"step": step, "phase": 0, **final, "learning_rate": rates, "timing": {"step_s": step_s}})
                    pending = []
            if evaluates:
                with clock.pause("evaluate"):
                    log.write({"step": step, "phase": 0, **_validate(setup, state, shared)})
            if saves:
                with clock.pause("checkpoint"):
                    checkpoints.save(state, start_digests)
            shared.on_step()
            if shared.stop.is_set() and step < steps:
                raise StoppedError
    finally:
        log.close()
    return state, {"train_loss": final.get("loss")}


def _is_due(step: int, every: int, steps: int) -> bool:
    """Whether something that happens every so many steps, and at the end, happens after this one."""
    return step == steps or bool(every and step % every == 0)


def _mean_metrics(pending: list[dict[str, jax.Array]]) -> dict[str, float]:
    """The mean of each metric over the steps of a window."""
    rows = jax.device_get([{name: row[name] for name in ("loss", "accuracy", "gradient_norm")} for row in pending])
    return {name: float(np.mean([row[name] for row in rows], dtype=np.float64)) for name in rows[0]}


def _digests(state: TrainState) -> dict[str, str]:
    return leaf_digests(state.params) | leaf_digests(state.batch_stats)


def _parameter_counts(state: TrainState, phase: Phase) -> dict[str, int]:
    sizes = {"/".join(entry.key for entry in path): leaf.size
             for path, leaf in jax.tree_util.tree_leaves_with_path(state.params)}  # fmt: skip
    return {"total": sum(sizes.values()), "trained": sum(sizes[path] for path in phase.trained)}


def _predict(setup: Setup, state: TrainState, examples: np.ndarray, shared: Surroundings) -> np.ndarray:
    evaluate = evaluate_program(setup, shared.programs).call
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    batch_size = setup.config["evaluate"]["batch_size"]
    return predict(evaluate, variables, setup.source, examples, batch_size, batch_sharding(setup.mesh))


def _validate(setup: Setup, state: TrainState, shared: Surroundings) -> dict[str, float]:
    examples = setup.split.validation
    loss, accuracy = loss_and_accuracy(_predict(setup, state, examples, shared), setup.source.labels[examples])
    return {"validation_loss": loss, "validation_accuracy": accuracy}


def _test_once(
    setup: Setup, state: TrainState, directory: pathlib.Path, clock: Clock, shared: Surroundings
) -> tuple[dict[str, float], int]:
    """Opens the test split, writes the predictions and returns the final metrics and how often it was opened."""
    sealed = SealedTest(setup.split.test)
    with clock.pause("evaluate"):
        parts = {"validation": setup.split.validation, "test": sealed.open()}
        logits = {name: _predict(setup, state, examples, shared) for name, examples in parts.items()}
        examples = np.concatenate(list(parts.values()))
        write_predictions(
            directory / "predictions.parquet",
            [setup.source.ids[i] for i in examples],
            setup.source.labels[examples],
            np.concatenate(list(logits.values())),
            [name for name, part in parts.items() for _ in part],
        )
    metrics = {}
    for name, part in parts.items():
        metrics[f"{name}_loss"], metrics[f"{name}_accuracy"] = loss_and_accuracy(
            logits[name], setup.source.labels[part]
        )
    return metrics, sealed.opened
