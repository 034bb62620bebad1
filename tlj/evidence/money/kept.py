"""What cached activations saved and what making them took: both accountings of a comparison's training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tlj.evidence.run_files import Run

# Of a file that several runs tell of: it only grows, so the most is the latest.
_COSTS = ("bytes", "examples", "seconds", "flops")


def cached_flops(runs: Sequence[Run]) -> dict[str, float | None]:
    """Returns what the steps of an arm's runs computed where they started from cached activations.

    Args:
      runs: of the arm.

    Returns:
      ``cached_flops_per_step`` of the first run and ``cached_flops_grid`` of all, in which a run that cached nothing
      counts as it is; None for both where none did.
    """
    told = [_cached(run) for run in runs]
    if not any(told):
        return {"cached_flops_per_step": None, "cached_flops_grid": None}
    whole = [(run.summary.get("flops") or {}).get("training_total", 0.0) for run in runs]
    computed = [kept["training_total"] if kept else total for kept, total in zip(told, whole, strict=True)]
    return {
        "cached_flops_per_step": next(kept["flops_per_step"] for kept in told if kept),
        "cached_flops_grid": sum(computed),
    }


def extraction(runs: Iterable[Run], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Returns what cached activations took, each file once for all runs of the comparison, and what is saved.

    Args:
      runs: of the comparison.
      rows: of the arms, with the figures of ``cached_flops``.

    Returns:
      ``files``, ``bytes``, ``examples``, ``seconds``, ``flops`` (of making the activations, whenever that was), and
      ``flops_without`` and ``flops_with`` them (of all runs; with them, making them is counted). None where nothing
      was cached.
    """
    files: dict[str, dict[str, float]] = {}
    for run in runs:
        for kept in (_cached(run) or {}).get("kept", ()):
            known = files.setdefault(kept["file"], dict.fromkeys(_COSTS, 0))
            files[kept["file"]] = {name: max(known[name], kept.get(name) or 0) for name in _COSTS}
    if not files:
        return None
    total = {name: sum(costs[name] for costs in files.values()) for name in _COSTS}
    without = [row["training_flops_grid"] or 0.0 for row in rows]
    computed = [
        whole if row["cached_flops_grid"] is None else row["cached_flops_grid"]
        for row, whole in zip(rows, without, strict=True)
    ]
    return {
        "files": len(files),
        **total,
        "flops_without": sum(without),
        "flops_with": sum(computed) + total["flops"],
    }


def _cached(run: Run) -> Mapping[str, Any] | None:
    return (run.summary.get("cost") or {}).get("cached")
