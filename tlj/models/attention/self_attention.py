"""Multi-head self-attention, computed by the kernel that is asked for where that applies, and by XLA elsewhere."""

from __future__ import annotations

import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from tlj.models.attention.kernels import XLA, Kernels
from tlj.models.attention.short import fits, short_attention
from tlj.models.layers import FusedDense, product

Heads = Float[Array, "batch heads length head_width"]
Mask = Bool[Array, "batch length"] | Bool[Array, "batch length length"]


def attend(
    projected: Float[Array, "batch length three_widths"], heads: int, mask: Mask | None, kernels: Kernels
) -> Float[Array, "batch length width"]:
    """Mixes the values of each sequence by how query and key of its tokens agree.

    What a fused kernel cannot compute, XLA does: sequences too long for it, several that share a row, or odd heads.

    Args:
      projected: query, key and value side by side, each of all heads.
      heads: of each.
      mask: False where nobody looks (padding); with three axes, where a token (second) does not look (third).
      kernels: how.
    """
    (batch, length, widths), dtype = projected.shape, projected.dtype
    by_length = mask is None or mask.ndim == 2
    if kernels.attention == "flash" and by_length and fits(length, widths // 3, dtype):
        return short_attention(projected, mask, heads, mesh=kernels.mesh, interpret=kernels.interpret)
    head_width = widths // (3 * heads)
    # Heads that cuDNN computes on every device that has its kernel.
    if kernels.attention == "cudnn" and by_length and dtype != jnp.float32 and head_width in range(8, 129, 8):
        shape = (batch, length, heads, head_width)
        query, key, value = (part.reshape(shape) for part in jnp.split(projected, 3, axis=-1))
        # With a mask cuDNN would take scores of its shape from memory; padding is at the end.
        lengths = None if mask is None else mask.sum(axis=1, dtype=jnp.int32)
        mixed = jax.nn.dot_product_attention(
            query, key, value, query_seq_lengths=lengths, key_value_seq_lengths=lengths, implementation="cudnn"
        )
        return mixed.reshape(batch, length, widths // 3)
    return _with_xla(projected, heads, mask, kernels)


def _with_xla(
    projected: Float[Array, "batch length three_widths"],
    heads: int,
    mask: Mask | None,
    kernels: Kernels,
    drop: Callable[[Array], Array] | None = None,
) -> Float[Array, "batch length width"]:
    """Attention written out, heads before places: one transposition before it and one after."""
    batch, length, widths = projected.shape
    looks = None if mask is None else mask[:, None, None, :] if mask.ndim == 2 else mask[:, None]
    factors = None if drop is None else drop(jnp.ones((batch, heads, length, length), projected.dtype))
    return _mixed(projected, looks, factors, heads, kernels.softmax)


def _by_head(x: Float[Array, "batch length features"], heads: int) -> Heads:
    return jnp.swapaxes(x.reshape(*x.shape[:2], heads, x.shape[2] // heads), 1, 2)


def _by_place(x: Heads) -> Float[Array, "batch length features"]:
    batch, heads, length, features = x.shape
    return jnp.swapaxes(x, 1, 2).reshape(batch, length, heads * features)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _mixed(projected: Array, looks: Array | None, factors: Array | None, heads: int, softmax: str) -> Array:
    """The sum of the values by the softmax of the scores, each weight times its factor.

    The division of the softmax comes last, and the backward pass takes its inner sums over features, as in
    FlashAttention (Dao et al. 2022, arXiv:2205.14135, algorithm 4): both pass over far fewer numbers than there are
    scores, of which the exponentials alone are kept.
    """
    return _mixed_forward(projected, looks, factors, heads, softmax)[0]


def _mixed_forward(
    projected: Array, looks: Array | None, factors: Array | None, heads: int, softmax: str
) -> tuple[Array, tuple[Array | None, ...]]:
    query, key, value = (_by_head(part, heads) for part in jnp.split(projected, 3, axis=-1))
    kind = jnp.float32 if softmax == "float32" else projected.dtype
    query = query * query.shape[-1] ** -0.5
    scores = jnp.einsum("bhqd,bhkd->bhqk", query, key, preferred_element_type=kind)
    if looks is not None:
        # Finite, so that a sequence without any real token is not NaN.
        scores = jnp.where(looks, scores, jnp.finfo(kind).min / 2)
    powers = jnp.exp(scores - scores.max(axis=-1, keepdims=True))
    total = powers.sum(axis=-1, keepdims=True, dtype=jnp.float32)
    powers = powers.astype(value.dtype)
    mixed = jnp.einsum("bhqk,bhkd->bhqd", powers if factors is None else powers * factors, value)
    mixed = (mixed / total).astype(value.dtype)
    return _by_place(mixed), (query, key, value, looks, factors, powers, total, mixed)


def _mixed_backward(
    heads: int, softmax: str, kept: tuple[Array | None, ...], gradient: Array
) -> tuple[Array, None, None]:
    query, key, value, looks, factors, powers, total, mixed = kept
    kind = jnp.float32 if softmax == "float32" else value.dtype
    shared = (_by_head(gradient, heads) / total).astype(value.dtype)
    inner = (shared.astype(jnp.float32) * mixed).sum(axis=-1, keepdims=True).astype(kind)
    of_weights = jnp.einsum("bhqd,bhkd->bhqk", shared, value, preferred_element_type=kind)
    if factors is not None:
        of_weights = of_weights * factors
    of_scores = powers * (of_weights - inner)
    if looks is not None:
        # Where there is no real token at all, every power is one.
        of_scores = jnp.where(looks, of_scores, 0)
    of_scores = of_scores.astype(query.dtype)
    of_query = jnp.einsum("bhqk,bhkd->bhqd", of_scores, key) * query.shape[-1] ** -0.5
    of_key = jnp.einsum("bhqk,bhqd->bhkd", of_scores, query)
    of_value = jnp.einsum("bhqk,bhqd->bhkd", powers if factors is None else powers * factors, shared)
    return jnp.concatenate([_by_place(part) for part in (of_query, of_key, of_value)], axis=-1), None, None


_mixed.defvjp(_mixed_forward, _mixed_backward)


class SelfAttention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017) with query, key and value in one matrix product.

    Unless told, softmax runs in float32, and matrices start Glorot uniform and biases at zero, as in the ViT release.

    Attributes:
      heads: divides the width.
      dtype: what it computes in.
      qkv_bias: whether query, key and value have biases.
      dropout: rate at which attention weights are dropped in training.
      kernel_init: of each of the four square matrices.
      bias_init: of each of their biases.
      kernels: how it is computed.
    """

    heads: int
    dtype: jnp.dtype = jnp.float32
    qkv_bias: bool = True
    dropout: float = 0.0
    kernel_init: nn.initializers.Initializer = nn.initializers.xavier_uniform()
    bias_init: nn.initializers.Initializer = nn.initializers.zeros
    kernels: Kernels = XLA

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch length width"],
        mask: Mask | None = None,
        *,
        train: bool = False,
    ) -> Float[Array, "batch length width"]:
        """Mixes the tokens of each sequence.

        Args:
          x: the tokens.
          mask: False where nobody looks (padding); with three axes, where a token (second) does not look (third).
          train: whether dropout is on.
        """
        width = x.shape[-1]
        init = {"kernel_init": self.kernel_init, "bias_init": self.bias_init}
        parts = ("query", "key", "value")
        projection = FusedDense(parts, width, self.dtype, use_bias=self.qkv_bias, name="query_key_value", **init)
        projected = projection(x).reshape(*x.shape[:2], 3 * width)
        if self.dropout and train:
            # Fused kernels have no dropout on the weights.
            dropout = nn.Dropout(self.dropout)
            mixed = _with_xla(projected, self.heads, mask, self.kernels, lambda w: dropout(w, deterministic=not train))
        else:
            mixed = attend(projected, self.heads, mask, self.kernels)
        return nn.Dense(width, dtype=self.dtype, dot_general=product, name="out", **init)(mixed)
