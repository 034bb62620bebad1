"""What of a config is compiled into a step, besides the model and the phase."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from tlj.errors import InputError
from tlj.freezing.modes import norm_mode
from tlj.freezing.phases import Layout, Phase
from tlj.freezing.regulariser import L2SP
from tlj.freezing.strategies import Strategy
from tlj.models.lora import Adapters


@dataclasses.dataclass(frozen=True)
class StepSettings:
    """What is compiled into a step; learning rates, decays and lengths are arrays in the state.

    Attributes:
      clip_norm: largest global norm of the gradient of all trainable leaves together; 0 does not clip.
      label_smoothing: mass taken from the true class and spread over all.
      l2_sp: the penalty on the distance from the starting point, or None.
      adapters: low-rank adapters, or None.
      task: what labels are, a name of ``tlj.training.tasks``.
      accumulate: parts that a batch is computed in, one after another.
      ema: decay of the moving average of what trains; 0 keeps none.
      on_nan: what a loss or gradient that is not finite does: ``"stop"`` leaves the state as it is from then on,
        ``"skip"`` leaves that one update out.
    """

    clip_norm: float = 1.0
    label_smoothing: float = 0.0
    l2_sp: L2SP | None = None
    adapters: Adapters | None = None
    task: str = "multiclass"
    accumulate: int = 1
    ema: float = 0.0
    on_nan: str = "stop"


def step_settings(
    config: Mapping[str, Any], strategy: Strategy, layout: Layout, phases: Sequence[Phase], adapters: Adapters | None
) -> StepSettings:
    """Returns what of a run's config is compiled into its steps.

    Args:
      config: of the run, nested.
      strategy: of the run.
      layout: of the model.
      phases: of the run.
      adapters: low-rank adapters, or None.

    Raises:
      InputError: for a penalty that has nothing to pull, or an average that is evaluated but not kept.
    """
    optimizer = config["optimizer"]
    if config["evaluate"]["ema"] and not optimizer["ema"]:
        what = "the moving average is to be evaluated, and none is kept"
        raise InputError(what, where="config.evaluate.ema", do="set config.optimizer.ema, such as 0.999")
    parts = optimizer["accumulate"]
    if parts > 1 and any(norm_mode(phase, module) != "frozen" for phase in phases for module in layout.statistics):
        each = config["global_batch_size"] // parts
        warnings.warn(
            f"optimizer.accumulate={parts}: BatchNorm sees {each} examples at a time, so this is not the run of the "
            "whole batch; with norms frozen (groups.NAME.norm_mode) it would be",
            stacklevel=2,
        )
    return StepSettings(
        optimizer["clip_norm"],
        optimizer["label_smoothing"],
        _l2_sp(strategy, layout, phases),
        adapters,
        task=config["task"],
        accumulate=parts,
        ema=optimizer["ema"],
        on_nan=config["on_nan"],
    )


def _l2_sp(strategy: Strategy, layout: Layout, phases: Sequence[Phase]) -> L2SP | None:
    if not strategy.l2_sp:
        return None
    deepest = layout.blocks if strategy.copied is None else strategy.copied
    loaded = [path for path, depth in layout.depths.items() if depth <= deepest and path.startswith("backbone/")]
    if not any(set(phase.trained) & set(loaded) for phase in phases):
        raise InputError(
            f"{strategy.text!r} trains nothing that came from the source, so l2_sp has nothing to pull",
            where="config.strategy",
            do="leave l2_sp out, or train some of the backbone",
        )
    return L2SP(*strategy.l2_sp, loaded=tuple(sorted(loaded)))


def check_dividing(config: Mapping[str, Any], devices: int) -> None:
    """Checks that a batch can be divided as the config says: over devices, and into parts.

    Args:
      config: of the run, nested.
      devices: over which it is divided already.

    Raises:
      InputError: where it cannot.
    """
    size, parts = config["global_batch_size"], config["optimizer"]["accumulate"]
    if size % (devices * parts):
        raise InputError(
            f"a batch of {size} does not divide into {parts} parts on each of {devices} devices",
            where="config.optimizer.accumulate",
            do=f"make config.global_batch_size a multiple of {devices * parts}, or use fewer parts",
        )
    packed = config["data"]["text"]["batching"] == "packed"
    for key, divided in {
        "parallel.mode": config["parallel"]["mode"] == "pmap",
        "optimizer.accumulate": parts > 1,
    }.items():
        if packed and divided:
            raise InputError(
                "rows of packed text hold several examples and cannot be divided by hand",
                where=f"config.{key}",
                do="set config.data.text.batching to buckets, or leave it at its default",
            )
