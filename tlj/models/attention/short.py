"""Attention of short sequences as one TPU kernel (Pallas): a whole sequence and its scores stay on the chip.

The idea is that of FlashAttention (Dao et al. 2022, arXiv:2205.14135): scores are never written to memory, and the
backward pass computes them again. A ViT's or BERT's sequence is short enough that one block holds all of it, so
nothing is tiled; and query, key and value are read where the projection has put them, side by side, so nothing is
transposed either.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Bool, Float

# Of the 16 MiB that the compiler gives a kernel of a core's memory; what it adds itself takes the rest.
_MOST_BYTES = 12 * 2**20
# A sum that no score survives in, where a sequence has no real token.
_LEAST = -0.5 * float(jnp.finfo(jnp.float32).max)


def fits(length: int, width: int, dtype: jnp.dtype) -> bool:
    """Whether sequences are short enough for the kernel.

    Args:
      length: of a sequence, in tokens.
      width: of query, key and value, each of all heads.
      dtype: of theirs.
    """
    # The backward pass reads four widths and writes three, each twice, while it moves the next and the last sequence;
    # of one head it holds scores, weights and their gradients.
    blocks = 2 * 7 * length * width * jnp.dtype(dtype).itemsize
    return blocks + 6 * length * length * 4 <= _MOST_BYTES


def short_attention(
    projected: Float[Array, "batch length three_widths"],
    mask: Bool[Array, "batch length"] | None,
    heads: int,
    *,
    mesh: Mesh | None = None,
    interpret: bool = False,
) -> Float[Array, "batch length width"]:
    """Returns what ``jax.nn.dot_product_attention`` computes of query, key and value, with softmax in float32.

    It is differentiable.

    Args:
      projected: query, key and value side by side, each of all heads.
      mask: False where nobody looks; None: every token is real.
      heads: of each.
      mesh: of devices that share the batch; None where each sees its own rows.
      interpret: computes with plain JAX what the kernel would, for tests on a machine without a TPU.
    """
    if mask is None:
        mask = jnp.ones((1, projected.shape[1]), bool)
    bias = jnp.where(mask, 0.0, _LEAST).astype(jnp.float32)[:, None, :]
    return _attention(projected, bias, heads, mesh, interpret)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _attention(projected: Array, bias: Array, heads: int, mesh: Mesh | None, interpret: bool) -> Array:
    return _divided(functools.partial(_call, _forward, 1, heads, interpret), mesh, projected, bias)


def _attention_forward(
    projected: Array, bias: Array, heads: int, mesh: Mesh | None, interpret: bool
) -> tuple[Array, tuple[Array, ...]]:
    return _attention(projected, bias, heads, mesh, interpret), (projected, bias)


def _attention_backward(
    heads: int, mesh: Mesh | None, interpret: bool, kept: tuple[Array, ...], gradient: Array
) -> tuple[Array, None]:
    projected, bias = kept
    call = functools.partial(_call, _backward, 3, heads, interpret)
    return _divided(call, mesh, projected, bias, gradient.astype(projected.dtype)), None


_attention.defvjp(_attention_forward, _attention_backward)


def _divided(call: Callable[..., Array], mesh: Mesh | None, *arguments: Array) -> Array:
    """A call whose first axis lies over all devices: the compiler cannot divide a kernel by itself."""
    if mesh is None or mesh.size == 1:
        return call(*arguments)
    by_rows = PartitionSpec(mesh.axis_names)
    # A bias that all share is whole everywhere.
    places = tuple(by_rows if len(argument) > 1 else PartitionSpec() for argument in arguments)
    return jax.shard_map(call, mesh=mesh, in_specs=places, out_specs=by_rows, check_vma=False)(*arguments)


def _call(
    kernel: Callable[..., None], parts: int, heads: int, interpret: bool, projected: Array, bias: Array, *more: Array
) -> Array:
    """The kernel over each sequence of a batch; its result is ``parts`` widths wide."""
    batch, length, widths = projected.shape
    width = widths // 3

    def rows(features: int) -> pl.BlockSpec:
        return pl.BlockSpec((1, length, features), lambda i: (i, 0, 0))

    biased = pl.BlockSpec((1, 1, length), (lambda i: (i, 0, 0)) if bias.shape[0] > 1 else (lambda i: (0, 0, 0)))
    # Products of scores and of values, with those of the backward pass, each of two operations per element.
    products = {1: 2, 3: 5}[parts]
    cost = pl.CostEstimate(
        flops=products * 2 * batch * length * length * width,
        transcendentals=batch * heads * length * length,
        bytes_accessed=sum(a.size * a.dtype.itemsize for a in (projected, bias, *more))
        + batch * length * parts * width * projected.dtype.itemsize,
    )
    return pl.pallas_call(
        functools.partial(kernel, heads=heads),
        grid=(batch,),
        in_specs=[rows(widths), biased, *(rows(width) for _ in more)],
        out_specs=rows(parts * width),
        out_shape=jax.ShapeDtypeStruct((batch, length, parts * width), projected.dtype),
        compiler_params=pltpu.CompilerParams(dimension_semantics=("parallel",)),
        cost_estimate=cost,
        interpret=interpret,
    )(projected, bias, *more)


def _product(left: Array, right: Array, contracted: tuple[int, int]) -> Float[Array, "rows columns"]:
    # Every partial sum in float32, and where the inputs are float32 their products, too.
    precision = jax.lax.Precision.HIGHEST if left.dtype == jnp.float32 else None
    dimensions = (((contracted[0],), (contracted[1],)), ((), ()))
    return jax.lax.dot_general(left, right, dimensions, precision=precision, preferred_element_type=jnp.float32)


def _weights(query: Array, key: Array, bias: Array) -> Float[Array, "length length"]:
    scores = _product(query, key, (1, 1)) * query.shape[-1] ** -0.5 + bias
    scores = jnp.exp(scores - scores.max(axis=1, keepdims=True))
    return scores / scores.sum(axis=1, keepdims=True)


def _head(ref: jax.Array, part: int, head: int, heads: int, parts: int = 3) -> Array:
    width = ref.shape[-1] // (parts * heads)
    begin = (part * heads + head) * width
    return ref[0, :, begin : begin + width]


def _forward(projected, bias, mixed, *, heads: int) -> None:
    width = mixed.shape[-1] // heads
    for head in range(heads):
        query, key, value = (_head(projected, part, head, heads) for part in range(3))
        weights = _weights(query, key, bias[0]).astype(value.dtype)
        mixed[0, :, head * width : (head + 1) * width] = _product(weights, value, (1, 0)).astype(mixed.dtype)


def _backward(projected, bias, gradient, result, *, heads: int) -> None:
    width = gradient.shape[-1] // heads
    for head in range(heads):
        query, key, value = (_head(projected, part, head, heads) for part in range(3))
        weights, upper = _weights(query, key, bias[0]), _head(gradient, 0, head, heads, 1)
        of_value = _product(weights.astype(value.dtype), upper, (0, 0))
        of_weights = _product(upper, value, (1, 1))
        # Derivative of the softmax: what a weight gains, less what all gain together.
        of_scores = weights * (of_weights - (of_weights * weights).sum(axis=1, keepdims=True))
        of_scores = (of_scores * width**-0.5).astype(query.dtype)
        found = (_product(of_scores, key, (1, 0)), _product(of_scores, query, (0, 0)), of_value)
        for part, leaf in enumerate(found):
            begin = (part * heads + head) * width
            result[0, :, begin : begin + width] = leaf.astype(result.dtype)
