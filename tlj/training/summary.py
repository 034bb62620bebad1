"""``summary.json`` of a run: what it was and what came out; what was measured is in ``timing`` and ``cost`` alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax

from tlj.freezing.digests import leaf_digests
from tlj.training.clock import Clock
from tlj.training.programs import Program
from tlj.training.setup import Setup, variable_shapes
from tlj.training.state import TrainState


def state_digests(state: TrainState) -> dict[str, str]:
    """Returns the digest of every parameter and statistic, by path."""
    return leaf_digests(state.params) | leaf_digests(state.batch_stats)


def parameter_sizes(setup: Setup) -> dict[str, int]:
    """Returns the number of elements of every parameter of a run's model, by path."""
    shapes = jax.tree_util.tree_leaves_with_path(variable_shapes(setup.spec)["params"])
    return {"/".join(entry.key for entry in path): leaf.size for path, leaf in shapes}


def run_summary(
    setup: Setup,
    program: Program,
    clock: Clock,
    metrics: Mapping[str, float | None],
    never_moved: Sequence[str],
    test_opened: int,
) -> dict[str, Any]:
    """Returns the summary of a finished run. Its timing is that of the process that finished it, not of earlier ones.

    Args:
      setup: of the run.
      program: its compiled step.
      clock: what it measured.
      metrics: final losses and accuracies.
      never_moved: trained parameters that never moved.
      test_opened: how often the test split was opened.
    """
    sizes, steps, step_s = parameter_sizes(setup), setup.config["steps"], clock.step_s()
    return {
        **{name: setup.config[name] for name in ("strategy", "seed", "steps")},
        "init": setup.init,
        "label_budget": len(setup.split.train) + len(setup.split.validation),
        "classes": list(setup.source.classes),
        **{f"{part}_examples": len(getattr(setup.split, part)) for part in ("train", "validation", "test")},
        "test_opened": test_opened,
        "metrics": dict(metrics),
        "parameters": {"total": sum(sizes.values()), "trained": sum(sizes[p] for p in setup.phases[0].trained)},
        "flops": {"per_step": program.flops, "training_total": program.flops * steps},
        "frozen_unchanged": True,
        "never_moved": list(never_moved),
        "timing": {
            "step_s": step_s,
            "train_s": clock.train_s,
            **{f"{name}_s": clock.charged[name] for name in ("evaluate", "checkpoint", "input_wait")},
        },
        "cost": {
            "devices": setup.mesh.size,
            "accelerator_seconds": step_s * steps * setup.mesh.size if step_s else None,
        },
    }
