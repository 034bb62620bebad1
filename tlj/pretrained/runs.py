"""A run of tlj as a source of pretrained parameters."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
from typing import Any

from tlj.data.images import Preprocessing
from tlj.data.text import TextPreprocessing
from tlj.errors import InputError
from tlj.models.lora import Adapters, merge_adapters
from tlj.models.registry import Spec, family_of, make_spec
from tlj.pretrained.find_checkpoint import checkpoint_steps, find_checkpoint
from tlj.pretrained.formats.tokenizer_files import check_tokenizer_files, find_tokenizer_files
from tlj.pretrained.published_head import published_head
from tlj.pretrained.source import PretrainedSource, source_of_variables

# The folder of a run that holds the files of its tokenizer, so that the run is a source by itself.
TOKENIZER = "tokenizer"


def describe_model(spec: Spec, preprocessing: Preprocessing | TextPreprocessing) -> dict[str, Any]:
    """Returns what a run's manifest says of its model: enough to build it and to feed it."""
    described = {"spec": dataclasses.asdict(spec), "preprocessing": dataclasses.asdict(preprocessing)}
    return {"family": family_of(spec).name, **json.loads(json.dumps(described))}


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


def read_variables(
    directory: pathlib.Path, step: int | str | None = None, *, ema: bool | None = None
) -> tuple[dict[str, Any], int]:
    """Reads the parameters and statistics of a checkpoint as NumPy arrays, leaving the optimizer's state on disk.

    What a delta leaves out is made again from its base.

    Args:
      directory: a run, its folder of checkpoints, or one of them.
      step: of the checkpoint: a number, ``"best"``, or None or ``"latest"``.
      ema: whether to give averages in place of the parameters that have one; None: as the run was evaluated.

    Returns:
      ``{"params": ..., "batch_stats": ...}`` and the step.

    Raises:
      InputError: where there is no such checkpoint, or it is a delta whose base is gone or another one.
    """
    stored = find_checkpoint(directory, step)
    return stored.variables(ema), stored.step


def read_run(run: pathlib.Path, step: int | str = "latest") -> PretrainedSource:
    """Reads a run of tlj: its model's spec, its preprocessing and its parameters, adapters merged into them.

    Args:
      run: a run directory.
      step: of the checkpoint: a number, ``"latest"``, or ``"best"``, the best by ``checkpoint.metric`` of those kept.

    Raises:
      InputError: where there is no run, it has no such checkpoint, or the files of its tokenizer are others.
    """
    path = _manifest_path(run)
    try:
        manifest = json.loads(path.read_text())
        model = manifest["model"]
        classes, task = tuple(manifest["data"]["classes"]), manifest["data"].get("task", "multiclass")
        adapters = Adapters(**model["adapters"]) if model.get("adapters") else None
        spec = make_spec(model["family"], model["spec"])
        preprocessing = family_of(spec).preprocessing(**model["preprocessing"])
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise InputError(
            f"not a manifest of a run ({type(error).__name__}: {error})",
            where=str(path),
            do="give a whole run directory",
        ) from error
    variables, found = read_variables(run, step)
    if adapters:
        variables["params"] = merge_adapters(variables["params"], adapters)
    scale = manifest["data"].get("label_scale")
    spec, variables["params"] = published_head(spec, variables["params"], task, scale)
    files = find_tokenizer_files(run / TOKENIZER)
    check_tokenizer_files(files, getattr(preprocessing, "tokenizer", ""), str(run / TOKENIZER))
    return source_of_variables(
        spec,
        preprocessing,
        variables,
        classes=classes,
        task=task,
        step=found,
        files=files,
        identity=run_identity(run),
        location=str(run),
    )
