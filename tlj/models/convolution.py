"""Convolutions whose gradients are products of matrices where that is faster: of 1 x 1 kernels, and of all on a CPU."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from tlj.models.layers import product

Images = Float[Array, "batch h w channels"]
Kernel = Float[Array, "kh kw channels features"]
Padding = tuple[tuple[int, int], tuple[int, int]]
_LAYOUT = ("NHWC", "HWIO", "NHWC")


def convolution(
    x: Images, kernel: Kernel, strides: Sequence[int], padding: Sequence[tuple[int, int]], **others: Any
) -> Float[Array, "batch h2 w2 features"]:
    """``jax.lax.conv_general_dilated`` of images, one group, not dilated; called as ``nn.Conv`` calls it.

    Args:
      x: inputs.
      kernel: of the layer.
      strides: in pixels, down and across.
      padding: with zeros, before and after, down and across.
      **others: what ``nn.Conv`` says besides: its defaults.
    """
    strides, padding = tuple(strides), tuple(tuple(sides) for sides in padding)
    if kernel.shape[:2] == (1, 1) and not any(map(any, padding)):
        return product(x[:, :: strides[0], :: strides[1]], kernel[0, 0])
    return _convolution(x, kernel, strides, padding)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _convolution(x: Images, kernel: Kernel, strides: tuple[int, int], padding: Padding) -> Images:
    return jax.lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=_LAYOUT)


def _forward(
    x: Images, kernel: Kernel, strides: tuple[int, int], padding: Padding
) -> tuple[Images, tuple[Images, Kernel]]:
    # Not the function itself: what a policy of rematerialisation saves is to be seen in it.
    value = jax.lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=_LAYOUT)
    return value, (x, kernel)


def _backward(
    strides: tuple[int, int], padding: Padding, kept: tuple[Images, Kernel], gradient: Images
) -> tuple[Images, Kernel]:
    x, kernel = kept
    plain = functools.partial(
        jax.lax.conv_general_dilated, window_strides=strides, padding=padding, dimension_numbers=_LAYOUT
    )
    (of_x,) = jax.linear_transpose(lambda x: plain(x, kernel), x)(gradient)

    def by_convolution(x: Images, gradient: Images) -> Kernel:
        return jax.linear_transpose(lambda kernel: plain(x, kernel), kernel)(gradient)[0]

    def by_products(x: Images, gradient: Images) -> Kernel:
        return _by_products(x, gradient, kernel.shape[:2], strides, padding)

    # XLA on CPU transposes both images for this convolution, and then has a kernel as large as an image.
    return of_x, jax.lax.platform_dependent(x, gradient, cpu=by_products, default=by_convolution)


_convolution.defvjp(_forward, _backward)


def _by_products(
    x: Images, gradient: Images, size: tuple[int, int], strides: tuple[int, int], padding: Padding
) -> Kernel:
    """The gradient of a kernel: at each of its places, the product of the pixels that it meets and the gradients."""
    padded = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    (high, wide), (down, across) = gradient.shape[1:3], strides
    flat = gradient.reshape(-1, gradient.shape[-1])

    def at(row: int, column: int) -> Float[Array, "channels features"]:
        met = padded[:, row : row + down * (high - 1) + 1 : down, column : column + across * (wide - 1) + 1 : across]
        return jax.lax.dot_general(met.reshape(-1, x.shape[-1]), flat, (((0,), (0,)), ((), ())))

    rows = [jnp.stack([at(row, column) for column in range(size[1])]) for row in range(size[0])]
    return jnp.stack(rows).astype(x.dtype)
