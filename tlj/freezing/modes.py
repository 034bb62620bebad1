"""How layers behave in a frozen group: BatchNorm on running statistics, dropout and stochastic depth off.

A Flax method interceptor sets this by module path while a step is traced, so a model is written once, as plain Linen,
and every registered model behaves right under every strategy.
"""

from __future__ import annotations

import contextlib
from typing import Any

import flax.linen as nn

from tlj.freezing.phases import FROZEN, Phase
from tlj.models.attention.self_attention import SelfAttention
from tlj.models.lora import ROOT


def norm_mode(phase: Phase, module_path: str) -> str:
    """Returns the mode of the norm at ``module_path``: train where a parameter of it trains, else adapt or frozen."""
    if module_path in phase.adapting:
        return "adapt"
    labels = {label for path, label in phase.labels if path.startswith(f"{module_path}/")} - {FROZEN}
    return "train" if any(phase.group(label).norm_mode == "train" for label in labels) else "frozen"


def dropout_is_on(phase: Phase, module_path: str) -> bool:
    """Whether the module that holds this dropout has a trained parameter, or adapter, of a group with dropout.

    A dropout that no module holds stands before the head and is the head's.
    """
    prefix = f"{module_path.rpartition('/')[0] or 'head'}/"
    labels = {label for path, label in phase.labels if path.removeprefix(f"{ROOT}/").startswith(prefix)} - {FROZEN}
    return any(phase.group(label).dropout for label in labels)


def behave_as(phase: Phase) -> contextlib.AbstractContextManager[None]:
    """Returns a context in which modules that are called for training behave as the phase says."""

    def intercept(next_call: Any, args: tuple, kwargs: dict, context: nn.module.InterceptorContext) -> Any:
        path = "/".join(context.module.path)
        if isinstance(context.module, nn.BatchNorm) and norm_mode(phase, path) == "frozen":
            kwargs = {**kwargs, "use_running_average": True}
        if isinstance(context.module, nn.Dropout) and not dropout_is_on(phase, path):
            kwargs = {**kwargs, "deterministic": True}
        if isinstance(context.module, SelfAttention) and not dropout_is_on(phase, f"{path}/dropout"):
            # Without dropout on its weights, attention can take the fused kernel.
            kwargs = {**kwargs, "train": False}
        return next_call(*args, **kwargs)

    return nn.intercept_methods(intercept)
