"""``tlj.export``: a model as files that others read, written whole or not at all."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable

from tlj.errors import InputError, unknown_name
from tlj.pretrained.export.files import Writer, as_text, check_directory, write_directory
from tlj.pretrained.export.huggingface import huggingface_files
from tlj.pretrained.export.model_card import model_card
from tlj.pretrained.export.stablehlo import stablehlo_files
from tlj.pretrained.export.torch_names import torch_files
from tlj.pretrained.load import Model

FORMATS: dict[str, Callable[[Model], dict[str, Writer]]] = {
    "huggingface": huggingface_files,
    "torch": torch_files,
    "stablehlo": stablehlo_files,
}


def check_export(directory: str | os.PathLike[str], format: str) -> None:
    """Checks what can be checked of an export before there is a model.

    Raises:
      InputError: for a format that does not exist, or a directory that cannot be made or is not empty.
    """
    if format not in FORMATS:
        raise unknown_name("format", format, FORMATS, where="--format")
    check_directory(pathlib.Path(directory))


def export(model: Model, directory: str | os.PathLike[str], format: str = "huggingface") -> list[pathlib.Path]:
    """Writes a model for others to use, with a model card.

    Args:
      model: what ``tlj.load`` gave; adapters of a run are merged by then.
      directory: new or empty.
      format: ``"huggingface"`` (what transformers reads), ``"torch"`` (a ResNet under torchvision's names) or
        ``"stablehlo"`` (a program that runs without tlj).

    Returns:
      The files.

    Raises:
      InputError: for a format that does not exist or cannot express the model, and for a directory that cannot be made
        or is not empty; nothing is left behind.
    """
    check_export(directory, format)
    if format != "stablehlo" and model.spec.head_layers:
        what = f"a head of {len(model.spec.head_layers) + 1} layers has no place in the {format} layout"
        raise InputError(what, where="--format", do="use --format=stablehlo")
    files = {**FORMATS[format](model), "README.md": as_text(model_card(model, format))}
    return write_directory(pathlib.Path(directory), files)
