"""Activations at a depth in place of inputs: a model that is given them computes what stands above that depth alone."""

from __future__ import annotations

import dataclasses

import flax.struct
from jaxtyping import Array, Float, Int


@flax.struct.dataclass
class Activations:
    """What leaves a depth of a backbone, for a batch; a backbone takes it in place of its inputs and goes on from it.

    Attributes:
      values: of depth 0 what leaves the embedding, of depth i + 1 what leaves block i; of the last depth, to which what
        stands between the last block and the head belongs, the features that the head reads.
      mask: of text below the last depth, 0 where there is no token; otherwise None.
      depth: that the values leave.
    """

    values: Float[Array, "batch ..."]
    mask: Int[Array, "batch length"] | None = None
    depth: int = flax.struct.field(pytree_node=False, default=0)


@dataclasses.dataclass(frozen=True)
class FromDepth:
    """Stands for the preprocessing of a model whose batches hold ``activations`` and of some ``attention_mask``.

    Attributes:
      depth: that they leave.
    """

    depth: int
