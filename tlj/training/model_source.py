"""The source that a config names: opened once per process, with what the config says of it beside its place."""

from __future__ import annotations

import functools
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from tlj.pretrained.find_checkpoint import checkpoint_steps
from tlj.pretrained.locate import locate, read_source, run_of
from tlj.pretrained.runs import run_identity
from tlj.pretrained.source import PretrainedSource


def open_model_source(model: Mapping[str, Any], base: pathlib.Path) -> PretrainedSource:
    """Opens the source of a config, or returns it from memory while its files are the same.

    Args:
      model: ``config.model``, with a ``source``.
      base: the directory that a relative source is looked for in first.

    Raises:
      InputError: where there is no source, or it is not what the config says of it.
    """
    path = locate(model["source"], base)
    # The head is the run's own, whatever stands on the backbone in the source.
    settings = {name: value for name, value in model["settings"].items() if name != "head_layers"}
    overrides = {"family": model["family"], **settings, **model["preprocessing"]}
    return _open(path.absolute(), json.dumps(overrides), tuple(model["allow_missing"]), model["step"], _written(path))


@functools.lru_cache(maxsize=4)
def _open(
    path: pathlib.Path, overrides: str, allow_missing: tuple[str, ...], step: int | str, written: object
) -> PretrainedSource:
    return read_source(path, overrides=json.loads(overrides), allow_missing=allow_missing, step=step)


def _written(path: pathlib.Path) -> tuple[object, ...]:
    """What changes when the files of a source do."""
    if run := run_of(path):
        steps = checkpoint_steps(run[0])
        latest = run[0] / "checkpoints" / str(steps[-1]) if steps else run[0]
        return (*steps, latest.stat().st_mtime_ns)
    files = [path] if path.is_file() else sorted(entry for entry in path.iterdir() if entry.is_file())
    return tuple((file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files)


def source_identity(model: Mapping[str, Any], base: pathlib.Path) -> str:
    """Returns what tells the source of a config from another at the same place, or nothing where there is none.

    Args:
      model: ``config.model``.
      base: the directory that a relative source is looked for in first.

    Raises:
      InputError: as ``open_model_source``.
    """
    if not model["source"]:
        return ""
    if run := run_of(locate(model["source"], base)):
        return run_identity(run[0])
    return open_model_source(model, base).identity
