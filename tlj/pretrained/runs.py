"""A run of tlj as a source of pretrained parameters."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
import threading
from typing import Any

import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

from tlj.data.images import Preprocessing
from tlj.data.text import TextPreprocessing
from tlj.errors import InputError, nearest_name
from tlj.models.lora import Adapters, merge_adapters
from tlj.models.registry import Spec, family_of, make_spec

# Orbax numbers its operations per process: two saves at once in two threads wait for each other's signals until a
# timeout of 300 s (measured, 0.12.8). Whoever reads or writes a checkpoint holds this.
ORBAX_LOCK = threading.RLock()


@dataclasses.dataclass(frozen=True, eq=False)
class PretrainedSource:
    """A model as its files hold it.

    Attributes:
      spec: its sizes, with the classes it was trained on.
      preprocessing: what it expects of its inputs.
      variables: ``params`` and ``batch_stats`` (empty for a family without) as nested NumPy arrays.
      step: the step the parameters are of.
    """

    spec: Spec
    preprocessing: Preprocessing | TextPreprocessing
    variables: dict[str, Any]
    step: int


def describe_model(spec: Spec, preprocessing: Preprocessing | TextPreprocessing) -> dict[str, Any]:
    """Returns what a run's manifest says of its model: enough to build it and to feed it."""
    described = {"spec": dataclasses.asdict(spec), "preprocessing": dataclasses.asdict(preprocessing)}
    return {"family": family_of(spec).name, **json.loads(json.dumps(described))}


def checkpoint_steps(run: pathlib.Path) -> list[int]:
    """Returns the steps that a run has finished checkpoints of, sorted; names that are no step are not checkpoints."""
    folder = run / "checkpoints"
    return sorted(int(entry.name) for entry in folder.iterdir() if entry.name.isdecimal()) if folder.is_dir() else []


def source_identity(run: pathlib.Path) -> str:
    """Returns what tells one model source from another at the same path: a hash of its manifest and latest step.

    Raises:
      InputError: where there is no run of tlj.
    """
    manifest = _manifest_path(run).read_bytes()
    return hashlib.sha256(manifest + str(checkpoint_steps(run)[-1:]).encode()).hexdigest()[:12]


def _manifest_path(run: pathlib.Path) -> pathlib.Path:
    path = run / "manifest.json"
    if not path.is_file():
        what = f"no run of tlj here (there is no manifest.json): {run}"
        raise InputError(what, where="config.model.source", do="give a run directory")
    return path


def read_variables(run: pathlib.Path, step: int | None = None) -> tuple[dict[str, Any], int]:
    """Reads the parameters and statistics of a checkpoint as NumPy arrays, leaving the optimizer's state on disk.

    Args:
      run: a run directory.
      step: of the checkpoint; None takes the latest.

    Returns:
      ``{"params": ..., "batch_stats": ...}`` and the step.

    Raises:
      InputError: where there is no such checkpoint.
    """
    steps = checkpoint_steps(run)
    if not steps:
        raise InputError(
            "no checkpoint here", where=str(run), do="give the directory of a run of tlj that has been trained"
        )
    if step is not None and step not in steps:
        raise InputError(
            f"no checkpoint of step {step}", where=str(run), nearest=nearest_name(str(step), map(str, steps))
        )
    step = steps[-1] if step is None else step
    path = run.absolute() / "checkpoints" / str(step)  # Orbax takes no relative path
    context = ocp.Context()
    context.pytree.loading.partial_load = True
    with ORBAX_LOCK, context:
        saved = ocp.metadata(path).metadata
        # An empty tree has no leaves and is not in the metadata.
        wanted = {name: saved.get(name, {}) for name in ("params", "batch_stats")}
        hosts = jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), wanted)
        read = ocp.load(path, {name: tree for name, tree in hosts.items() if tree})
    return {"params": read["params"], "batch_stats": read.get("batch_stats", {})}, step


def read_run(run: pathlib.Path, step: int | None = None) -> PretrainedSource:
    """Reads a run of tlj: its model's spec, its preprocessing and its parameters, adapters merged into them.

    Args:
      run: a run directory.
      step: of the checkpoint; None takes the latest.

    Raises:
      InputError: where there is no run, or it has no such checkpoint.
    """
    manifest = _manifest_path(run)
    try:
        model = json.loads(manifest.read_text())["model"]
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise InputError(
            f"not a manifest of a run ({type(error).__name__}: {error})",
            where=str(manifest),
            do="give a whole run directory",
        ) from error
    variables, step = read_variables(run, step)
    if adapters := model.get("adapters"):
        variables["params"] = merge_adapters(variables["params"], Adapters(**adapters))
    spec = make_spec(model["family"], model["spec"])
    described = {name: tuple(v) if isinstance(v, list) else v for name, v in model["preprocessing"].items()}
    return PretrainedSource(spec, family_of(spec).preprocessing(**described), variables, step)
