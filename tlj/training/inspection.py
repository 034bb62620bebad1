"""What a run's checkpoint holds, what is frozen in it, and how far the rest has moved from where it started."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from tlj.errors import InputError
from tlj.freezing.digests import leaf_digests
from tlj.freezing.modes import norm_mode
from tlj.freezing.phases import FROZEN, Group, Layout, Phase
from tlj.freezing.strategies import parse_strategy
from tlj.models.lora import Adapters
from tlj.models.registry import make_spec
from tlj.pretrained.load_report import array_hash
from tlj.pretrained.run_source import open_source_of_run, places_of_source, read_run_file
from tlj.pretrained.runs import checkpoint_metadata, read_variables
from tlj.pretrained.source import PretrainedSource
from tlj.training.initial import run_variables
from tlj.training.phase_record import PhaseRecord
from tlj.training.setup import model_layout

Arrays = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class _Run:
    """A run as its files tell it.

    Attributes:
      directory: of the run.
      config: resolved.
      manifest: of the run.
      step: of the latest checkpoint.
      params: by path.
      statistics: by path.
      record: of the phase that the checkpoint is in.
      layout: of the model, its adapters included.
      phases: up to that of the checkpoint; of their groups only names and norm modes are told.
      base: what the checkpoint says of the parameters that it leaves out; None where it holds everything.
    """

    directory: pathlib.Path
    config: Mapping[str, Any]
    manifest: Mapping[str, Any]
    step: int
    params: Arrays
    statistics: Arrays
    record: PhaseRecord
    layout: Layout
    phases: tuple[Phase, ...]
    base: Mapping[str, Any] | None

    @property
    def phase(self) -> Phase:
        """The phase that the checkpoint is in."""
        return self.phases[-1]

    @property
    def adapters(self) -> Adapters | None:
        """The settings of the run's adapters."""
        adapters = self.manifest["model"].get("adapters")
        return Adapters(**adapters) if adapters else None


def _open(run: pathlib.Path) -> _Run:
    if not (run / "manifest.json").is_file():
        raise InputError("no run of tlj here (there is no manifest.json)", where=str(run), do="give a run directory")
    manifest, config = read_run_file(run, "manifest.json"), read_run_file(run, "config.json")
    missing = [name for name in ("model", "phases", "init", "load_report") if name not in manifest]
    if missing:
        what = f"not a manifest of a run: no {', '.join(missing)}"
        raise InputError(what, where=str(run / "manifest.json"), do="give a whole run directory")
    variables, step = read_variables(run)
    metadata = checkpoint_metadata(run, step)
    record = _record(metadata, run, step)
    adapters = manifest["model"].get("adapters")
    spec = make_spec(manifest["model"]["family"], manifest["model"]["spec"])
    layout = model_layout(spec, Adapters(**adapters) if adapters else None)
    return _Run(
        directory=run,
        config=config,
        manifest=manifest,
        step=step,
        params=traverse_util.flatten_dict(variables["params"], sep="/"),
        statistics=traverse_util.flatten_dict(variables["batch_stats"], sep="/"),
        record=record,
        layout=layout,
        phases=_phases(manifest)[: record.index + 1],
        base=metadata.get("base"),
    )


def _record(metadata: Mapping[str, Any], run: pathlib.Path, step: int) -> PhaseRecord:
    """What the checkpoint itself says of its phase: a plateau is nowhere else to be found."""
    if "record" not in metadata:
        raise InputError(
            f"the checkpoint of step {step} does not say what phase it is in",
            where=str(run),
            do="train the run again: it was made by another version of tlj",
        )
    return PhaseRecord.from_json(metadata["record"])


def _phases(manifest: Mapping[str, Any]) -> tuple[Phase, ...]:
    """The run's phases, as far as the manifest has them: what trains in which group, and which norms adapt."""
    return tuple(
        Phase(
            labels=tuple(sorted(told["labels"].items())),
            groups=tuple(
                Group(group["name"], norm_mode=group["norm_mode"])
                for group in told["groups"]
                if group["name"] != FROZEN
            ),
            adapting=tuple(told.get("adapting", ())),
        )
        for told in manifest["phases"]
    )


def _source_of(run: _Run) -> PretrainedSource | None:
    """The run's model source, which holds what the run says it loaded, or None where it is gone or another by now."""
    model = run.config["model"]
    for place in places_of_source(run.directory, model["source"]):
        try:
            found = open_source_of_run(place, model)
            if _is_loaded_from(found, run.manifest["load_report"]):
                return found
        except InputError:  # Damaged: what the run itself holds can be told all the same.
            continue
    return None


def _is_loaded_from(source: PretrainedSource, load_report: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a source holds the very values that a run says it loaded."""
    hashes = {row["path"]: row["hash"] for row in load_report if row["hash"] and row["path"]}
    return all(
        path in source.leaves and array_hash(source.leaves[path].read()) == found for path, found in hashes.items()
    )


def _initial(run: _Run) -> tuple[Arrays, Arrays] | None:
    """The parameters and statistics that the run started from, made again; None where its source is gone."""
    manifest, source = run.manifest, _source_of(run)
    if manifest["init"] != "scratch" and source is None:
        return None
    variables, _ = run_variables(
        manifest["init"],
        make_spec(manifest["model"]["family"], manifest["model"]["spec"]),
        source,
        run.config["seed"],
        copied=parse_strategy(run.config["strategy"]).copied,
        adapters=run.adapters,
    )
    variables = jax.device_get(variables)
    return tuple(traverse_util.flatten_dict(variables[name], sep="/") for name in ("params", "batch_stats"))


def inspect_run(directory: pathlib.Path) -> dict[str, Any]:
    """Reads a run's latest checkpoint and compares it with what the run, and its phase, started from.

    Args:
      directory: of the run.

    Returns:
      ``step`` and ``phase`` of the checkpoint; ``kept`` (all, or trainable for a delta) and ``base`` (what a delta is
      a delta on, or None); ``phase_starts``; ``leaves`` (path, shape, dtype, group) and
      ``statistics`` (path, shape, dtype, norm mode, distance from the init); ``frozen_since_phase_start_unchanged`` and
      ``changed_since_phase_start`` (paths frozen in this phase whose bytes are not those of its start);
      ``never_trained`` (number of parameters that no phase so far has trained) and ``largest_frozen_change`` (the
      largest absolute one among them); and ``moved_by_depth`` (``moved_by_depth``). Distances, the largest change and
      the last are None where the run's model source is gone or another.

    Raises:
      InputError: where there is no run, or it has no checkpoint, or a delta whose base is gone or another one.
    """
    run = _open(directory)
    initial, phase = _initial(run), run.phase
    never = set.intersection(*(set(run.params) - set(one.trained) for one in run.phases))
    changed = _changed_since_phase_start(run)
    return {
        "step": run.step,
        "phase": run.record.index,
        "kept": "trainable" if run.base else "all",
        "base": run.base,
        "phase_starts": run.record.starts,
        "leaves": [
            {"path": path, "shape": list(leaf.shape), "dtype": str(leaf.dtype), "group": phase.label_of[path]}
            for path, leaf in sorted(run.params.items())
        ],
        "statistics": [
            {
                "path": path,
                "shape": list(leaf.shape),
                "dtype": str(leaf.dtype),
                "norm_mode": norm_mode(phase, path.rpartition("/")[0]),
                "distance": _norm([leaf - initial[1][path]]) if initial else None,
            }
            for path, leaf in sorted(run.statistics.items())
        ],
        "frozen_since_phase_start_unchanged": not changed,
        "changed_since_phase_start": changed,
        "never_trained": len(never),
        "largest_frozen_change": _largest_change(never, run.params, initial[0]) if initial else None,
        "moved_by_depth": moved_by_depth(run.params, initial[0], run.layout, run.phases) if initial else None,
    }


def _changed_since_phase_start(run: _Run) -> list[str]:
    now = leaf_digests(run.params) | leaf_digests(run.statistics)
    still = [path for path, label in run.phase.labels if label == FROZEN]
    still += [path for path in run.statistics if norm_mode(run.phase, path.rpartition("/")[0]) == "frozen"]
    return sorted(path for path in still if now[path] != run.record.start_digests[path])


def _largest_change(paths: set[str], params: Arrays, initial: Arrays) -> float:
    return max((float(np.max(np.abs(params[path] - initial[path]))) for path in paths), default=0.0)


def _norm(arrays: Sequence[np.ndarray]) -> float:
    return float(np.sqrt(sum(np.sum(np.square(array, dtype=np.float64)) for array in arrays)))


def moved_by_depth(
    params: Arrays, initial: Arrays, layout: Layout, phases: Sequence[Phase]
) -> list[dict[str, float | int | None]]:
    """Returns how far the parameters of each depth are from where they started, adapters with what they adapt.

    Args:
      params: by path.
      initial: by path.
      layout: of the model.
      phases: so far; the last is the one the parameters are of.

    Returns:
      Rows of depth, leaves, trained (how many of them any phase trained), trained_now (how many the last one trains),
      distance (Euclidean) and relative (distance by the norm of the start; None where that is zero).
    """
    ever, now = set().union(*(phase.trained for phase in phases)), set(phases[-1].trained)
    rows = []
    for depth in sorted(set(layout.depths.values())):
        # In an order of their own, or the last bits of a sum would depend on how the run was read.
        paths = sorted(path for path in params if layout.depths[path] == depth)
        distance, start = _norm([params[p] - initial[p] for p in paths]), _norm([initial[p] for p in paths])
        rows.append(
            {
                "depth": depth,
                "leaves": len(paths),
                "trained": len(ever.intersection(paths)),
                "trained_now": len(now.intersection(paths)),
                "distance": distance,
                "relative": distance / start if start else None,
            }
        )
    return rows
