"""``tlj.restore``: the parameters of a checkpoint as plain arrays, for analysis in a notebook."""

from __future__ import annotations

import os
import pathlib
from typing import Any

from tlj.errors import InputError
from tlj.named_paths import existing_folder
from tlj.pretrained.runs import read_variables


def restore(
    directory: str | os.PathLike[str],
    step: int | str | None = None,
    *,
    statistics: bool = False,
    ema: bool | None = None,
) -> dict[str, Any]:
    """Returns the parameters of a checkpoint as nested dicts of NumPy arrays, and nothing of the optimizer.

    It needs neither the config that wrote the checkpoint nor the devices: one that was sharded over many is whole here.
    Adapters stay beside the parameters that they adapt, under ``"lora"``; ``tlj.load`` merges them and gives a model.

    >>> params = tlj.restore("runs/digits/runs/full/10/0", step="best")  # doctest: +SKIP
    >>> params["head"]["kernel"].shape  # doctest: +SKIP
    (64, 5)

    Args:
      directory: a run, its folder of checkpoints, or one checkpoint, which may be a copy by itself.
      step: of the checkpoint; None for the latest, or ``"best"``, by the run's ``checkpoint.metric``.
      statistics: whether to return ``{"params": ..., "batch_stats": ...}``, the latter empty for a family without.
      ema: whether parameters that have a moving average are given as that average; None: as the run was evaluated.

    Raises:
      InputError: where there is no such checkpoint, it cannot be read, it holds no averages though they are asked for,
        or it is a delta whose base is gone.
    """
    if step not in (None, "best", "latest") and (isinstance(step, bool) or not isinstance(step, int)):
        raise InputError(f"no step {step!r}", where="tlj.restore", do='give a number, "best", or None for the latest')
    variables, _ = read_variables(existing_folder(pathlib.Path(directory), "inspect"), step, ema=ema)
    return variables if statistics else variables["params"]
