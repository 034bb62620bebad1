"""The head of a run as others take it: of two classes two logits, of numbers outputs in the unit of the labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from tlj.models.registry import Spec


def published_head(
    spec: Spec, params: Mapping[str, Any], task: str, scale: Mapping[str, float] | None
) -> tuple[Spec, dict[str, Any]]:
    """Returns the spec and the parameters of a model that says what its run reported.

    A run of two classes trains one logit ``z``; published it is ``[0, z]``, whose softmax is the sigmoid, so that there
    is an output for each class. A run on numbers trains outputs on the scale of its training labels; the last layer is
    linear, so that it can bring them to their unit.

    Args:
      spec: of the run's model.
      params: of the run, nested, adapters merged into them.
      task: ``config.task`` of the run.
      scale: ``mean`` and ``deviation`` of its training labels, or None where they are no numbers.
    """
    params, head = dict(params), params.get("head")
    if head is None:
        return spec, params
    if task == "binary" and spec.num_classes == 1:
        spec = dataclasses.replace(spec, num_classes=2)
        params["head"] = {name: np.concatenate([np.zeros_like(leaf), leaf], axis=-1) for name, leaf in head.items()}
    if scale:
        deviation = np.float32(scale["deviation"])
        bias = head["bias"] * deviation + np.float32(scale["mean"])
        params["head"] = {**head, "kernel": head["kernel"] * deviation, "bias": bias}
    return spec, params
