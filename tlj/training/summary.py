"""``summary.json`` of a run: what it was and what came out; what was measured is in ``timing`` and ``cost`` alone."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from tlj.freezing.digests import leaf_digests
from tlj.models.lora import Adapters
from tlj.models.registry import Spec
from tlj.training.cached.flops import flops_below
from tlj.training.clock import Clock
from tlj.training.parallel import fetch
from tlj.training.read_order import padding_share
from tlj.training.run_record import RunRecord
from tlj.training.setup import Setup, variable_shapes
from tlj.training.state import TrainState


def state_digests(state: TrainState, known: Callable[[Any], str | None] = lambda leaf: None) -> dict[str, str]:
    """Returns the digest of every parameter and statistic, by path; every process must ask.

    Args:
      state: of the run.
      known: returns the digest of an array that nothing can have changed since it was taken; None for any other.
    """
    digests: dict[str, str] = {}
    for tree in (state.params, state.batch_stats):
        leaves = traverse_util.flatten_dict(tree, sep="/")
        told = {path: digest for path, leaf in leaves.items() if (digest := known(leaf)) is not None}
        digests |= told | leaf_digests(fetch({path: leaf for path, leaf in leaves.items() if path not in told}))
    return digests


def parameter_sizes(setup: Setup) -> Mapping[str, int]:
    """Returns the number of elements of every parameter of a run's model, adapters included, by path."""
    return _sizes(setup.spec, setup.settings.adapters)


@functools.lru_cache(maxsize=32)
def _sizes(spec: Spec, adapters: Adapters | None) -> Mapping[str, int]:
    leaves = jax.tree_util.tree_leaves_with_path(variable_shapes(spec, adapters)["params"])
    return types.MappingProxyType({"/".join(entry.key for entry in path): leaf.size for path, leaf in leaves})


def pair_facts(setup: Setup) -> dict[str, str]:
    """Returns digests of what a run shares with its twin, from what it really read.

    Args:
      setup: of the run.

    Returns:
      ``split`` of the ids of its examples, ``first_batch`` of the content of its first batch, and ``preprocessing`` of
      what is done to its inputs.
    """
    batch, content = setup.batches[0], hashlib.sha256()
    for name in sorted(batch):
        content.update(name.encode() + np.ascontiguousarray(batch[name]).tobytes())
    preprocessing = json.dumps(dataclasses.asdict(setup.preprocessing), sort_keys=True, default=str)
    return {
        "split": setup.split.manifest(setup.source.ids)["hash"],
        "first_batch": content.hexdigest()[:16],
        "preprocessing": hashlib.sha256(preprocessing.encode()).hexdigest()[:16],
    }


def run_summary(
    setup: Setup,
    clock: Clock,
    metrics: Mapping[str, float | None],
    record: RunRecord,
    test_opened: int,
    depths: Sequence[int | None] = (),
    kept: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Returns the summary of a finished run. Its timing is that of all its processes, each up to its last checkpoint.

    Args:
      setup: of the run.
      clock: what it measured.
      metrics: final losses and accuracies.
      record: of the run.
      test_opened: how often the test split was opened.
      depths: whose activations each phase started from, None where it did from inputs; empty: all from inputs.
      kept: what was cached for that, and what it cost.

    FLOPs are those of steps that go all the way, as a run without cached activations has them; what the steps of this
    run computed is under ``cost``.
    """
    sizes, steps = parameter_sizes(setup), record.stopped_at or setup.config["steps"]
    phases = _phases(setup, record, sizes, steps)
    computed = sum(phase["flops_per_step"] * phase["steps"] for phase in phases)
    for phase, depth in zip(phases, depths, strict=False):
        phase["flops_per_step"] += flops_below(setup, depth) if depth is not None and phase["steps"] else 0.0
    step_s = [clock.step_s(index) for index in range(len(phases))]
    known = all(seconds or not phase["steps"] for seconds, phase in zip(step_s, phases, strict=True))
    train_s = sum((s or 0.0) * phase["steps"] for s, phase in zip(step_s, phases, strict=True)) if known else None
    flops = sum(phase["flops_per_step"] * phase["steps"] for phase in phases)
    trained = {path for phase in setup.phases[: len(phases)] for path in phase.trained}
    return {
        **{name: setup.config[name] for name in ("strategy", "seed", "steps")},
        "init": setup.init,
        "control": setup.control,
        "label_budget": len(setup.split.train) + len(setup.split.validation),
        "classes": list(setup.source.classes),
        **{f"{part}_examples": len(getattr(setup.split, part)) for part in ("train", "validation", "test")},
        "test_opened": test_opened,
        "metrics": dict(metrics),
        "pair": pair_facts(setup),
        "input": {"padding_share": padding_share(setup)},
        "phases": phases,
        "phases_planned": len(setup.phases),
        "parameters": {"total": sum(sizes.values()), "trained": sum(sizes[path] for path in trained)},
        "flops": {"per_step": flops / steps, "training_total": flops},
        "frozen_unchanged": True,
        "never_moved": record.phase.never_moved,
        "stopped_at": record.stopped_at,
        "skipped_updates": record.skipped,
        "timing": _timing(clock, step_s),
        "cost": {
            "devices": setup.mesh.size,
            "accelerator_seconds": None if train_s is None else train_s * setup.mesh.size,
            **({"cached": _cached(computed, flops, steps, kept)} if kept else {}),
        },
    }


def _timing(clock: Clock, step_s: Sequence[float | None]) -> dict[str, Any]:
    """What a run's clock measured, with the seconds of a step in each of its phases."""
    return {
        "step_s": clock.step_s(),
        "step_s_by_phase": list(step_s),
        "train_s": clock.train_s,
        "wall_s": clock.wall_s,
        "compile_s": sum(clock.compile_s.values()),
        "compile_s_by_phase": {str(index): clock.compile_s[index] for index in range(len(step_s))},
        **{f"{name}_s": clock.charged[name] for name in ("evaluate", "checkpoint", "input_wait")},
        "input_wait_share": clock.charged["input_wait"] / clock.train_s if clock.train_s else None,
        # Its seconds are then its share of those of all.
        **({"batched_with": clock.batched_with} if clock.batched_with > 1 else {}),
    }


def _cached(computed: float, flops: float, steps: int, kept: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the steps computed, beside what they would have without cached activations, and what making these cost."""
    return {
        "flops_per_step": computed / steps,
        "training_total": computed,
        "relative_flops": computed / flops if flops else None,
        "kept": [dict(row) for row in kept],
    }


def _phases(setup: Setup, record: RunRecord, sizes: Mapping[str, int], steps: int) -> list[dict[str, Any]]:
    """What a summary says of each phase that began."""
    phased = record.phase
    ends, flops = [*phased.starts[1:], steps], [*phased.flops, 0.0]
    return [
        {
            "start": start,
            "steps": end - start,
            "trained": sum(sizes[path] for path in phase.trained),
            "flops_per_step": total / (end - start) if end > start else 0.0,
        }
        for phase, total, start, end in zip(setup.phases, flops, phased.starts, ends, strict=False)
    ]
