"""What a checkpoint holds, what is frozen in it, and how far the rest has moved from where its run started."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from flax import traverse_util

from tlj.freezing.digests import leaf_digests
from tlj.freezing.modes import norm_mode
from tlj.freezing.phases import FROZEN
from tlj.training.checkpoint_sizes import array_row, bytes_by_field, optimizer_bytes, state_rows
from tlj.training.distances import Arrays, moved_by_depth, norm_of
from tlj.training.setup import variable_shapes
from tlj.training.stored_run import StoredRun, open_stored_run, start_of_run


def inspect_run(directory: pathlib.Path, step: int | str | None = None) -> dict[str, Any]:
    """Reads a checkpoint and compares it with what its run, and its phase, started from.

    Args:
      directory: a run, its folder of checkpoints, or one of them; of other files only the model source is looked for.
      step: of the checkpoint: a number, ``"best"``, or None or ``"latest"``.

    Returns:
      ``step`` and ``phase`` of the checkpoint; ``metrics`` (of its validation); ``evaluated`` (params, or ema for
      averages, which then stand in place of the parameters here); ``kept`` (all, or trainable for a delta), ``base``
      (what a delta is a delta on, or None) and ``base_problem`` (why that is not to be had, or None); ``phase_starts``;
      ``leaves`` (path, shape, dtype, bytes, group, optimizer_bytes), ``statistics`` (path, shape, dtype, bytes, norm
      mode, distance from the init) and ``others`` (all else in the state: path, shape, dtype, bytes); ``bytes`` (by
      field of the state, total and on_disk); ``frozen_since_phase_start_unchanged`` and ``changed_since_phase_start``
      (paths frozen in this phase whose bytes are not those of its start); ``never_trained`` (number of parameters that
      no phase so far has trained) and ``largest_frozen_change`` (the largest absolute one among them); and
      ``moved_by_depth`` (``tlj.training.distances``). Distances, the largest change and the last are None where the
      run's start cannot be made again.

    Raises:
      InputError: where there is no such checkpoint, it cannot be read, or it does not tell its run.
    """
    run = open_stored_run(directory, step)
    initial, rows = start_of_run(run), state_rows(run.stored)
    base, changed = run.stored.metadata.get("base"), _changed_since_phase_start(run)
    never = set.intersection(*(set(run.phase.label_of) - set(one.trained) for one in run.phases))
    return {
        "step": run.stored.step,
        "phase": run.record.phase.index,
        "metrics": dict(run.stored.metadata.get("metrics") or {}),
        "evaluated": run.stored.metadata.get("evaluated", "params"),
        "kept": "trainable" if base else "all",
        "base": base,
        "base_problem": run.base_problem or None,
        "phase_starts": run.record.phase.starts,
        "leaves": _parameters(run, rows.get("opt_state", [])),
        "statistics": [
            {
                **array_row(path, leaf),
                "norm_mode": norm_mode(run.phase, path.rpartition("/")[0]),
                "distance": norm_of([leaf - initial[1][path]]) if initial else None,
            }
            for path, leaf in sorted(run.statistics.items())
        ],
        "others": [
            {**row, "path": f"{field}/{row['path']}".rstrip("/")}
            for field, of_field in rows.items()
            if field not in ("params", "batch_stats")
            for row in of_field
        ],
        "bytes": bytes_by_field(run.stored),
        "frozen_since_phase_start_unchanged": None if run.base_problem else not changed,
        "changed_since_phase_start": changed,
        "never_trained": len(never),
        "largest_frozen_change": _largest_change(never, run.params, initial[0]) if initial else None,
        "moved_by_depth": moved_by_depth(run.params, initial[0], run.layout, run.phases) if initial else None,
    }


def _parameters(run: StoredRun, optimizer: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for every parameter of the model; a delta holds no bytes of those that it leaves out."""
    shapes = traverse_util.flatten_dict(variable_shapes(run.spec, run.adapters)["params"], sep="/")
    groups, held = run.phase.label_of, run.stored.shapes["params"]
    moments = optimizer_bytes(optimizer, groups)
    rows = [array_row(path, run.params.get(path, shapes[path])) for path in sorted(groups)]
    return [
        {
            **row,
            "bytes": row["bytes"] if row["path"] in held else 0,
            "group": groups[row["path"]],
            "optimizer_bytes": moments[row["path"]],
        }
        for row in rows
    ]


def _changed_since_phase_start(run: StoredRun) -> list[str]:
    now = leaf_digests(run.params) | leaf_digests(run.statistics)
    # Of a delta whose base is gone, what it leaves out cannot be told.
    still = [path for path, label in run.phase.labels if label == FROZEN and path in now]
    still += [path for path in run.statistics if norm_mode(run.phase, path.rpartition("/")[0]) == "frozen"]
    return sorted(path for path in still if now[path] != run.record.phase.start_digests.get(path))


def _largest_change(paths: set[str], params: Arrays, initial: Arrays) -> float:
    return max((float(np.max(np.abs(params[path] - initial[path]))) for path in paths), default=0.0)
