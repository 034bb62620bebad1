"""What a run's checkpoint holds, what is frozen in it, and how far the rest has moved from where it started."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from tlj.errors import InputError
from tlj.freezing.partition import FROZEN
from tlj.models.registry import FAMILIES, make_spec
from tlj.pretrained.initialise import initial_variables
from tlj.pretrained.load_report import array_hash
from tlj.pretrained.runs import PretrainedSource, read_run, read_variables


def _source_of(run: pathlib.Path, config: Mapping[str, Any]) -> PretrainedSource | None:
    """The run's model source: its path is relative to the comparison that holds the run, or to where one stands."""
    model = config["model"]
    if not model["source"]:
        return None
    places = [parent / model["source"] for parent in (*run.absolute().parents, pathlib.Path.cwd())]
    return next((read_run(place) for place in places if (place / "manifest.json").is_file()), None)


def _is_loaded_from(source: PretrainedSource, load_report: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a source holds the very values that a run says it loaded."""
    found = traverse_util.flatten_dict(source.variables, sep="/")
    loaded = [leaf for leaf in load_report if leaf["hash"]]
    return all(leaf["source"] in found and array_hash(found[leaf["source"]]) == leaf["hash"] for leaf in loaded)


def _read(path: pathlib.Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise InputError(f"cannot be read ({error})", where=str(path), do="give a whole run directory") from error


def _initial_params(run: pathlib.Path, manifest: Mapping[str, Any]) -> dict[str, np.ndarray] | None:
    """What the run started from, made again from its config; None where its source is gone."""
    config = _read(run / "config.json")
    source = _source_of(run, config)
    if manifest["init"] != "scratch" and (source is None or not _is_loaded_from(source, manifest["load_report"])):
        return None
    spec = make_spec(manifest["model"]["family"], manifest["model"]["spec"])
    variables, _ = initial_variables(manifest["init"], spec, source, config["seed"])
    return traverse_util.flatten_dict(jax.device_get(variables["params"]), sep="/")


def inspect_run(run: pathlib.Path) -> dict[str, Any]:
    """Reads a run's latest checkpoint and compares it with what the run started from.

    Args:
      run: a run directory.

    Returns:
      ``step``, ``phase``, ``leaves`` (path, shape, dtype, group), ``largest_frozen_change`` (the largest absolute one
      of a frozen parameter) and ``moved_by_depth`` (rows of depth, distance from the init and that distance relative
      to the init's norm). The last two are None where the run's model source is gone or another.

    Raises:
      InputError: where there is no run, or it has no checkpoint.
    """
    path = run / "manifest.json"
    if not path.is_file():
        raise InputError("no run of tlj here (there is no manifest.json)", where=str(run), do="give a run directory")
    manifest = _read(path)
    variables, step = read_variables(run)
    params = traverse_util.flatten_dict(variables["params"], sep="/")
    started = [index for index, phase in enumerate(manifest["phases"]) if phase["start"] < max(step, 1)]
    labels = manifest["phases"][started[-1]]["labels"]
    initial = _initial_params(run, manifest)
    report = {
        "step": step,
        "phase": started[-1],
        "leaves": [
            {"path": path, "shape": list(leaf.shape), "dtype": str(leaf.dtype), "group": labels[path]}
            for path, leaf in sorted(params.items())
        ],
        "largest_frozen_change": None,
        "moved_by_depth": None,
    }
    if initial is not None:
        frozen = [path for path in params if labels[path] == FROZEN]
        changes = [float(np.max(np.abs(params[path] - initial[path]))) for path in frozen]
        report["largest_frozen_change"] = max(changes, default=0.0)
        report["moved_by_depth"] = _moved_by_depth(params, initial, manifest["model"])
    return report


def _moved_by_depth(
    params: Mapping[str, np.ndarray], initial: Mapping[str, np.ndarray], model: Mapping[str, Any]
) -> list[dict[str, float | int]]:
    spec = make_spec(model["family"], model["spec"])
    depths: dict[int, list[str]] = {}
    for path in params:
        depths.setdefault(FAMILIES[model["family"]].depth_of(path, spec.depth), []).append(path)

    def norm(arrays: list[np.ndarray]) -> float:
        return float(np.sqrt(sum(np.sum(np.square(array, dtype=np.float64)) for array in arrays)))

    rows = []
    for depth, paths in sorted(depths.items()):
        distance, start = norm([params[p] - initial[p] for p in paths]), norm([initial[p] for p in paths])
        rows.append({"depth": depth, "distance": distance, "relative": distance / start if start else None})
    return rows


def format_inspection(report: Mapping[str, Any]) -> str:
    """Returns an inspection as text: one line per leaf, then what moved."""
    width = max(len(leaf["path"]) for leaf in report["leaves"])
    lines = [f"step {report['step']}, phase {report['phase']}"]
    lines += [f"{leaf['path']:{width}}  {leaf['dtype']}{leaf['shape']}  {leaf['group']}" for leaf in report["leaves"]]
    if report["moved_by_depth"] is None:
        return "\n".join([*lines, "the model source of this run is gone or another one: what moved cannot be told"])
    lines.append(f"largest change of a frozen parameter: {report['largest_frozen_change']:g}")
    for row in report["moved_by_depth"]:
        relative = "" if row["relative"] is None else f", {row['relative']:.1%} of the init's norm"
        lines.append(f"depth {row['depth']}: moved by {row['distance']:.4g}{relative}")
    return "\n".join(lines)
