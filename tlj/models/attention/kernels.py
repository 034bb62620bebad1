"""Which kernel computes attention: a setting of speed and last bits, not of the model."""

from __future__ import annotations

import dataclasses

from jax.sharding import Mesh

ATTENTION = ("auto", "xla", "cudnn", "flash")
SOFTMAX = ("float32", "compute")


@dataclasses.dataclass(frozen=True)
class Kernels:
    """How attention is computed.

    Attributes:
      attention: ``"xla"``; ``"cudnn"``, the fused kernel of NVIDIA's library; ``"flash"``, ours for TPU.
      softmax: what softmax and scores are computed in: ``"float32"``, or ``"compute"``, the type of the backbone. The
        fused kernels know float32 alone.
      mesh: of devices that share a batch, over which a kernel is divided by hand; None where each sees its own rows.
      interpret: computes ``"flash"`` with plain JAX, for tests on a machine without a TPU.
    """

    attention: str = "xla"
    softmax: str = "float32"
    mesh: Mesh | None = None
    interpret: bool = False


XLA = Kernels()
