"""What of a config is compiled into a step, besides the model and the phase."""

from __future__ import annotations

import dataclasses

from tlj.freezing.regulariser import L2SP
from tlj.models.lora import Adapters


@dataclasses.dataclass(frozen=True)
class StepSettings:
    """What is compiled into a step; learning rates, decays and lengths are arrays in the state.

    Attributes:
      clip_norm: largest global norm of the gradient of all trainable leaves together; 0 does not clip.
      label_smoothing: mass taken from the true class and spread over all.
      l2_sp: the penalty on the distance from the starting point, or None.
      adapters: low-rank adapters, or None.
    """

    clip_norm: float = 1.0
    label_smoothing: float = 0.0
    l2_sp: L2SP | None = None
    adapters: Adapters | None = None
