"""From what a user names as a source to the source: a run, a directory or file of another origin, or a hub id."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from tlj.errors import InputError, nearest_name
from tlj.pretrained.formats.checkpoint import assemble
from tlj.pretrained.formats.huggingface.read import read_huggingface
from tlj.pretrained.formats.npz_vit import read_npz_vit
from tlj.pretrained.formats.torch_resnet import is_torch_resnet, read_torch_resnet
from tlj.pretrained.hub import fetch, is_hub_id
from tlj.pretrained.overrides import Overrides
from tlj.pretrained.runs import read_run
from tlj.pretrained.source import PretrainedSource

_WHERE = "config.model.source"


def locate(source: str | os.PathLike[str], base: str | os.PathLike[str] = "") -> pathlib.Path:
    """Returns the file or directory that a source names, fetched into the hub's cache where it is a hub id.

    Args:
      source: a path, absolute or relative to ``base`` or to the current directory, or a hub id such as
        ``google/vit-base-patch16-224``, ``@revision`` after it if wanted.
      base: where a relative path is looked for first.

    Raises:
      InputError: where there is nothing, and it cannot be fetched.
    """
    named = pathlib.Path(os.path.expanduser(source))
    for path in (pathlib.Path(base) / named, named):
        # Unlike the method of a Path, this takes a name that is too long for a file for one that is not there.
        if os.path.exists(path):
            return path
    if is_hub_id(str(source)):
        return fetch(str(source))
    folder = named.parent if named.parent.is_dir() else pathlib.Path(base) / named.parent
    names = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    near = nearest_name(named.name, names)
    raise InputError(
        f"nothing here: {source}",
        where=_WHERE,
        nearest=str(named.parent / near) if near else None,
        do="give a run of tlj, a directory in the Hugging Face layout, an .npz or .safetensors file, or a hub id",
    )


def run_of(path: pathlib.Path) -> tuple[pathlib.Path, int | None] | None:
    """Returns the run that a path is, or is a checkpoint of, with the step of that checkpoint; None for all else."""
    if (path / "manifest.json").is_file():
        return path, None
    if path.parent.name == "checkpoints" and path.name.isdecimal() and (path.parents[1] / "manifest.json").is_file():
        return path.parents[1], int(path.name)
    return None


def read_source(
    source: str | os.PathLike[str],
    *,
    base: str | os.PathLike[str] = "",
    overrides: Mapping[str, Any] | None = None,
    allow_missing: Sequence[str] = (),
    step: int | str = "latest",
) -> PretrainedSource:
    """Opens a source; of a checkpoint of another origin, names, shapes and settings are checked and no value is read.

    Args:
      source: as ``locate`` takes it.
      base: where a relative path is looked for first.
      overrides: settings of the model or of its preprocessing that replace the checkpoint's own, or tell what it does
        not.
      allow_missing: regular expressions of names that may be missing, extra or of another shape.
      step: of a run: a number, ``"latest"`` or ``"best"``.

    Raises:
      InputError: for anything that cannot be used; nothing is executed and nothing half loaded.
    """
    path = locate(source, base)
    if run := run_of(path):
        if run[1] is not None and step != "latest":
            what = f"step {step!r} of the checkpoint of step {run[1]}"
            raise InputError(what, where=str(path), do=f"leave the step out, or name the run: {run[0]}")
        if allow_missing:
            raise InputError(
                f"a run of tlj lacks nothing, so {', '.join(allow_missing)} cannot be missing",
                where=str(path),
                do="leave allow_missing out",
            )
        found = read_run(run[0], step if run[1] is None else run[1])
        return Overrides(overrides or {}).on_run(found)
    if step != "latest":
        raise InputError(f"step {step!r} of something that is no run of tlj", where=str(path), do="leave the step out")
    chosen = Overrides(overrides or {})
    if path.suffix == ".npz":
        checkpoint = read_npz_vit(path, chosen)
    elif is_torch_resnet(path):
        checkpoint = read_torch_resnet(path, chosen)
    elif (path / "comparison.json").is_file():
        raise InputError(
            "a comparison, which is many runs",
            where=str(path),
            do=f"name one of them, such as {path / 'source'} or a folder ARM/LABELS/SEED in {path / 'runs'}",
        )
    elif path.is_dir():
        checkpoint = read_huggingface(path, chosen)
    else:
        raise InputError(
            f"not a checkpoint that tlj reads: {path.name}",
            where=_WHERE,
            do="give a run of tlj, a directory in the Hugging Face layout, or an .npz or .safetensors file",
        )
    return assemble(checkpoint, allow_missing)
