"""What of a block is kept for the backward pass: all of it, or what a policy of ``jax.checkpoint_policies`` says.

What is not kept is computed once more on the way back (Chen et al. 2016, arXiv:1604.06174): memory for time.
"""

from __future__ import annotations

import flax.linen as nn
import jax
from jaxtyping import Array, Float

from tlj.errors import unknown_name

POLICIES = ("none", "nothing_saveable", "dots_saveable", "dots_with_no_batch_dims_saveable")


def check_policy(remat: str) -> None:
    """Checks the name of a policy.

    Args:
      remat: ``config.remat``.

    Raises:
      InputError: where there is none of this name.
    """
    if remat not in POLICIES:
        raise unknown_name("remat", remat, POLICIES, where="config.remat")


def call_block(
    block: nn.Module, remat: str, x: Float[Array, "batch ..."], *inputs: Array, train: bool
) -> Float[Array, "batch ..."]:
    """Calls ``block(x, *inputs, train=train)``, which keeps for its backward pass what the policy says.

    Names, values and random numbers are those of the plain call. A block without a backward pass, in training below
    the freeze boundary, is computed once whatever the policy is.

    Args:
      block: with a name, and all of it in one call.
      remat: one of ``POLICIES``; ``"none"`` keeps everything.
      x: what the block transforms.
      *inputs: what else it reads.
      train: as the block takes it; evaluation has no backward pass.
    """
    if remat == "none" or not train:
        return block(x, *inputs, train=train)

    def call(block: nn.Module, *inputs: Array) -> Array:
        return block(*inputs, train=train)

    return nn.remat(call, policy=getattr(jax.checkpoint_policies, remat))(block, x, *inputs)
