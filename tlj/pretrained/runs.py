"""A run of tlj as a source of pretrained parameters."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import pathlib
import threading
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

from tlj.data.images import Preprocessing
from tlj.data.text import TextPreprocessing
from tlj.errors import InputError, nearest_name
from tlj.models.lora import Adapters, merge_adapters
from tlj.models.registry import Spec, family_of, make_spec
from tlj.pretrained.base import Base, complete_params
from tlj.pretrained.formats.tokenizer_files import check_tokenizer_files, find_tokenizer_files
from tlj.pretrained.source import PretrainedSource, source_of_variables

# Orbax numbers its operations per process: two saves at once in two threads wait for each other's signals until a
# timeout of 300 s (measured, 0.12.8). Whoever reads or writes a checkpoint holds this.
ORBAX_LOCK = threading.RLock()

# The folder of a run that holds the files of its tokenizer, so that the run is a source by itself.
TOKENIZER = "tokenizer"


def describe_model(spec: Spec, preprocessing: Preprocessing | TextPreprocessing) -> dict[str, Any]:
    """Returns what a run's manifest says of its model: enough to build it and to feed it."""
    described = {"spec": dataclasses.asdict(spec), "preprocessing": dataclasses.asdict(preprocessing)}
    return {"family": family_of(spec).name, **json.loads(json.dumps(described))}


def checkpoint_steps(run: pathlib.Path) -> list[int]:
    """Returns the steps that a run has finished checkpoints of, sorted; names that are no step are not checkpoints."""
    folder = run / "checkpoints"
    return sorted(int(entry.name) for entry in folder.iterdir() if entry.name.isdecimal()) if folder.is_dir() else []


def run_identity(run: pathlib.Path) -> str:
    """Returns what tells one run from another at the same path: a hash of its manifest and latest step.

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


def checkpoint_metadata(run: pathlib.Path, step: int) -> dict[str, Any]:
    """Returns what the checkpoint of a step says of itself: ``identity``, ``record``, and the ``base`` of a delta.

    Raises:
      InputError: where it cannot be read.
    """
    with _reading(run, step):
        return ocp.metadata((run / "checkpoints" / str(step)).absolute()).custom_metadata or {}


@contextlib.contextmanager
def _reading(run: pathlib.Path, step: int) -> Iterator[None]:
    """Orbax and what it stands on let errors of every kind out of a damaged checkpoint."""
    try:
        with ORBAX_LOCK:
            yield
    except Exception as error:
        said = str(error).strip().partition("\n")[0]
        raise InputError(
            f"the checkpoint of step {step} cannot be read ({type(error).__name__}: {said})",
            where=str(run),
            do="use another step, or get the run again",
        ) from error


def read_variables(run: pathlib.Path, step: int | None = None) -> tuple[dict[str, Any], int]:
    """Reads the parameters and statistics of a checkpoint as NumPy arrays, leaving the optimizer's state on disk.

    What a delta leaves out is made again from its base.

    Args:
      run: a run directory.
      step: of the checkpoint; None takes the latest.

    Returns:
      ``{"params": ..., "batch_stats": ...}`` and the step.

    Raises:
      InputError: where there is no such checkpoint, or it is a delta whose base is gone or another one.
    """
    steps = checkpoint_steps(run)
    if not steps:
        raise InputError(
            "no checkpoint here", where=str(run), do="give the directory of a run of tlj that has been trained"
        )
    if step is not None and step not in steps:
        raise InputError(
            f"no checkpoint of step {step}",
            where=str(run),
            nearest=nearest_name(str(step), map(str, steps)),
            do=f"use one of {', '.join(map(str, steps))}",
        )
    step = steps[-1] if step is None else step
    path = run.absolute() / "checkpoints" / str(step)  # Orbax takes no relative path
    context = ocp.Context()
    context.pytree.loading.partial_load = True
    with _reading(run, step), context:
        saved = ocp.metadata(path).metadata
        # An empty tree has no leaves and is not in the metadata.
        wanted = {name: saved.get(name, {}) for name in ("params", "batch_stats")}
        hosts = jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), wanted)
        read = ocp.load(path, {name: tree for name, tree in hosts.items() if tree})
    params = read["params"]
    if told := checkpoint_metadata(run, step).get("base"):
        params = complete_params(run, Base.from_json(told, str(run)), params)
    return {"params": params, "batch_stats": read.get("batch_stats", {})}, step


def read_run(run: pathlib.Path, step: int | str = "latest") -> PretrainedSource:
    """Reads a run of tlj: its model's spec, its preprocessing and its parameters, adapters merged into them.

    Args:
      run: a run directory.
      step: of the checkpoint: a number, ``"latest"``, or ``"best"``, the one with the lowest validation loss among
        those that are kept.

    Raises:
      InputError: where there is no run, it has no such checkpoint, or the files of its tokenizer are others.
    """
    path = _manifest_path(run)
    try:
        manifest = json.loads(path.read_text())
        model = manifest["model"]
        classes = tuple(manifest["data"]["classes"])
        adapters = Adapters(**model["adapters"]) if model.get("adapters") else None
        spec = make_spec(model["family"], model["spec"])
        preprocessing = family_of(spec).preprocessing(**model["preprocessing"])
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise InputError(
            f"not a manifest of a run ({type(error).__name__}: {error})",
            where=str(path),
            do="give a whole run directory",
        ) from error
    variables, found = read_variables(run, best_step(run) if step == "best" else None if step == "latest" else step)
    if adapters:
        variables["params"] = merge_adapters(variables["params"], adapters)
    files = find_tokenizer_files(run / TOKENIZER)
    check_tokenizer_files(files, getattr(preprocessing, "tokenizer", ""), str(run / TOKENIZER))
    return source_of_variables(
        spec,
        preprocessing,
        variables,
        classes=classes,
        step=found,
        files=files,
        identity=run_identity(run),
        location=str(run),
    )


def best_step(run: pathlib.Path) -> int:
    """Returns the step with the lowest validation loss among the checkpoints that a run has kept; ties go to the first.

    Raises:
      InputError: where no checkpoint that is kept was validated.
    """
    kept = set(checkpoint_steps(run))
    losses = {}
    for line in (run / "metrics.jsonl").read_text().splitlines() if (run / "metrics.jsonl").is_file() else []:
        try:
            row = json.loads(line)
        except json.JSONDecodeError:  # a kill may leave the last line cut
            continue
        if row.get("step") in kept and row.get("validation_loss") is not None:
            losses[row["step"]] = row["validation_loss"]
    if not losses:
        raise InputError(
            "no checkpoint here was validated, so none is the best",
            where=str(run),
            do="use the latest, or train with evaluate.every and checkpoint.every set alike",
        )
    return min(losses, key=lambda step: (losses[step], step))
