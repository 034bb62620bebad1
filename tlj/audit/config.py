"""The audit of the data that a config names, with what its model takes."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping
from typing import Any

from tlj.audit.audit import audit_source
from tlj.audit.contents import open_leniently, splits_of
from tlj.data.settings import DataSettings
from tlj.data.sources import Source
from tlj.errors import InputError
from tlj.training.fit import tokenizer_files
from tlj.training.model_source import open_model_source

_TASKS = ("multiclass", "binary")


def audit_config(config: Mapping[str, Any]) -> tuple[dict[str, Any], Source]:
    """Audits the data of a config; where it names a model source, by that model's tokenizer and sizes.

    Args:
      config: resolved.

    Returns:
      The report of ``audit_source``, and the source, for pictures.

    Raises:
      InputError: where the data or the model source cannot be opened, or the data not be split so; for labels that are
        no classes.
    """
    data, model = config["data"], config["model"]
    if config["task"] not in _TASKS:
        what = f"an audit knows labels that are one class an example, which those of {config['task']} are not"
        raise InputError(what, where="config.task", do=f"set it to {' or '.join(_TASKS)}")
    source = open_leniently(DataSettings.of(data))
    splits = splits_of(source, data)
    pretrained = open_model_source(model, pathlib.Path(config["workdir"] or os.curdir)) if model["source"] else None
    if source.kind == "images":
        size = pretrained.spec.image_size if pretrained else model["settings"].get("image_size")
        return audit_source(source, splits, image_size=size), source
    positions = pretrained.spec.positions if pretrained else None
    files = tokenizer_files(data, pretrained)
    return audit_source(source, splits, files or None, data["text"]["length"] or positions), source
