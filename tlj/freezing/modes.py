"""How layers behave in a frozen group: BatchNorm on running statistics, dropout and stochastic depth off.

A Flax method interceptor sets this by module path while a step is traced, so a model is written once, as plain Linen,
and every registered model behaves right under every strategy.
"""

from __future__ import annotations

import contextlib
from typing import Any

import flax.linen as nn

from tlj.freezing.partition import FROZEN, Phase


def norm_mode(phase: Phase, module_path: str) -> str:
    """Returns ``"train"`` if a parameter of the norm at ``module_path`` trains in a group of that mode, else frozen."""
    labels = {label for path, label in phase.labels if path.startswith(f"{module_path}/")} - {FROZEN}
    return "train" if any(phase.group(label).norm_mode == "train" for label in labels) else "frozen"


def dropout_is_on(phase: Phase, module_path: str) -> bool:
    """Whether the module that holds this dropout has a trained parameter of a group with dropout."""
    prefix = module_path.rpartition("/")[0]
    labels = {label for path, label in phase.labels if path.startswith(f"{prefix}/" if prefix else "")} - {FROZEN}
    return any(phase.group(label).dropout for label in labels)


def behave_as(phase: Phase) -> contextlib.AbstractContextManager[None]:
    """Returns a context in which modules that are called for training behave as the phase says."""

    def intercept(next_call: Any, args: tuple, kwargs: dict, context: nn.module.InterceptorContext) -> Any:
        path = "/".join(context.module.path)
        if isinstance(context.module, nn.BatchNorm) and norm_mode(phase, path) == "frozen":
            kwargs = {**kwargs, "use_running_average": True}
        if isinstance(context.module, nn.Dropout) and not dropout_is_on(phase, path):
            kwargs = {**kwargs, "deterministic": True}
        return next_call(*args, **kwargs)

    return nn.intercept_methods(intercept)
