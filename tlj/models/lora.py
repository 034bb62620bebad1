"""Low-rank adapters (LoRA): a trained update of low rank beside frozen dense layers of the backbone.

Hu et al. 2021 (arXiv:2106.09685, section 4.1): a layer with kernel ``W`` computes ``x W + alpha / rank * (x a) b``.
The adapters stand in the parameter tree under ``lora``, at the path of the layer they adapt; a Flax method interceptor
adds what they compute while a step is traced, so models are plain Linen and know nothing of them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from jaxtyping import Array, Float, Key

from tlj.errors import InputError, nearest_name
from tlj.models.layers import FusedDense

ROOT = "lora"


@dataclasses.dataclass(frozen=True)
class Adapters:
    """Which layers are adapted, and how; hashable, because a step is compiled for it.

    Attributes:
      rank: of the update; at most the inputs and the outputs of every adapted layer.
      alpha: the update is multiplied by ``alpha / rank``, so that another rank needs no other learning rate.
      targets: names of dense layers of the backbone, in whatever block: query, key, value, out, up, down, ...
    """

    rank: int
    alpha: float = 16.0
    targets: tuple[str, ...] = ("query", "value")

    def __post_init__(self) -> None:
        # A config that was read from a file has a list.
        object.__setattr__(self, "targets", tuple(self.targets))

    @property
    def scale(self) -> float:
        """What the product of the two matrices is multiplied by."""
        return self.alpha / self.rank


_Path = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class _Layer:
    """A dense layer that can be adapted: its kernel, and the part of the kernel where several layers share one."""

    kernel: _Path
    part: int | None
    inputs: int
    outputs: int


def _dense_layers(params: Mapping[str, Any]) -> dict[_Path, _Layer]:
    """The dense layers of the backbone by path; the parts of a fused one stand beside each other in its place."""
    layers = {}
    for path, kernel in traverse_util.flatten_dict(params).items():
        if path[0] != "backbone" or path[-1] != "kernel":
            continue
        *parents, name, _ = path
        # A tree does not hold the names of a FusedDense's parts; the models name it after them.
        parts = name.split("_")
        if len(kernel.shape) == 2:
            layers[path[:-1]] = _Layer(path, None, *kernel.shape)
        elif len(kernel.shape) == 3 and len(parts) == kernel.shape[1] > 1:
            for index, part in enumerate(parts):
                layers[(*parents, part)] = _Layer(path, index, kernel.shape[0], kernel.shape[2])
    return layers


def adapter_shapes(params: Mapping[str, Any], adapters: Adapters) -> dict[str, Any]:
    """Returns the shapes of a model's adapters.

    Args:
      params: arrays or shapes of the model's parameters, nested. Dense layers of its backbone can be adapted;
        convolutions, embeddings and the head cannot.
      adapters: which are.

    Returns:
      Shapes in float32, nested by the path of the layer, without ``ROOT``: ``a`` is (inputs, rank) and ``b`` (rank,
      outputs).

    Raises:
      InputError: for a backbone without dense layers, a target that it does not have, or a rank or alpha out of range.
    """
    layers = _dense_layers(params)
    if not layers:
        raise InputError(
            f"{ROOT} adapts dense layers, and the backbone of this model has none",
            where="config.strategy",
            do="use another strategy, for example last_blocks:1 or norm_only, or a transformer",
        )
    names = sorted({path[-1] for path in layers})
    for target in adapters.targets or ("",):
        if target not in names:
            raise InputError(
                f"no dense layer of this backbone is called {target!r}",
                where="config.lora.targets",
                nearest=nearest_name(target, names),
                do=f"use some of {', '.join(names)}",
            )
    if not 0 < adapters.alpha < math.inf:
        raise InputError(
            f"alpha {adapters.alpha} is not a number above 0",
            where="config.lora.alpha",
            do="the rank itself gives a scale of 1",
        )
    adapted_layers = {path: layer for path, layer in layers.items() if path[-1] in adapters.targets}
    _check_rank(adapters.rank, adapted_layers)
    shapes = {}
    for path, layer in adapted_layers.items():
        shapes[*path, "a"] = jax.ShapeDtypeStruct((layer.inputs, adapters.rank), jnp.float32)
        shapes[*path, "b"] = jax.ShapeDtypeStruct((adapters.rank, layer.outputs), jnp.float32)
    return traverse_util.unflatten_dict(shapes)


def _check_rank(rank: int, layers: Mapping[_Path, _Layer]) -> None:
    path, smallest = min(layers.items(), key=lambda item: min(item[1].inputs, item[1].outputs))
    highest = min(smallest.inputs, smallest.outputs)
    if not 1 <= rank <= highest:
        raise InputError(
            f"{ROOT} of rank {rank} on a layer of {smallest.inputs} inputs and {smallest.outputs} outputs, "
            f"{'/'.join(path)}",
            where="config.strategy",
            nearest=f"{ROOT}:{min(max(rank, 1), highest)}",
            do=f"use a rank from 1 to {highest}, or other targets",
        )


def init_adapters(key: Key[Array, ""], shapes: Mapping[str, Any]) -> dict[str, Any]:
    """Draws adapters that change nothing yet: ``b`` is zero.

    ``a`` is uniform between plus and minus ``1 / sqrt(inputs)``, as in the code that Hu et al. released. Every leaf has
    a stream of its own, so that a layer starts from the same values whatever else is adapted.

    Args:
      key: of the stream.
      shapes: of ``adapter_shapes``.
    """

    def draw(path: str, shape: tuple[int, ...]) -> Array:
        if path.endswith("/b"):
            return jnp.zeros(shape, jnp.float32)
        bound, leaf_key = shape[0] ** -0.5, jax.random.fold_in(key, zlib.crc32(path.encode()))
        return jax.random.uniform(leaf_key, shape, jnp.float32, -bound, bound)

    flat = traverse_util.flatten_dict(shapes, sep="/")
    return traverse_util.unflatten_dict({path: draw(path, leaf.shape) for path, leaf in flat.items()}, sep="/")


def _pairs(tree: Mapping[str, Any]) -> dict[_Path, tuple[Any, Any]]:
    """The two matrices of each adapter, by the path of the layer it adapts."""
    flat = traverse_util.flatten_dict(tree)
    return {path[:-1]: (a, flat[*path[:-1], "b"]) for path, a in flat.items() if path[-1] == "a"}


def _low_rank(
    x: Float[Array, "*batch in"], pairs: Sequence[tuple[Array, Array]], scale: float, dtype: jnp.dtype
) -> list[Float[Array, "*batch out"]]:
    """What the adapters of one input add to the outputs of their layers."""
    # One product for all that read x. The scale goes to b, the smallest thing it can go to, before it is rounded.
    down = jnp.concatenate([a for a, _ in pairs], axis=1).astype(dtype)
    low = jnp.split(x.astype(dtype) @ down, len(pairs), axis=-1)
    return [narrow @ (scale * b).astype(dtype) for narrow, (_, b) in zip(low, pairs, strict=True)]


def adapted(tree: Mapping[str, Any] | None, adapters: Adapters | None) -> contextlib.AbstractContextManager[None]:
    """Returns a context in which dense layers that are called add what their adapters compute, in the layers' dtype.

    It is for tracing, like ``tlj.freezing.modes.behave_as``, and the two may be entered in either order.

    Args:
      tree: adapters, nested by the path of the layer, without ``ROOT``; may be traced. None or empty adapts nothing.
      adapters: their settings.
    """
    if not tree:
        return contextlib.nullcontext()
    pairs, scale = _pairs(tree), adapters.scale

    def intercept(next_call: Any, args: tuple, kwargs: dict, context: nn.module.InterceptorContext) -> Any:
        output, module = next_call(*args, **kwargs), context.module
        if context.method_name != "__call__" or not isinstance(module, nn.Dense | FusedDense):
            return output
        if isinstance(module, nn.Dense):
            found = pairs.get(module.path)
            return output + _low_rank(args[0], [found], scale, output.dtype)[0] if found else output
        found = [pairs.get((*module.path[:-1], part)) for part in module.parts]
        if not any(found):
            return output
        updates = iter(_low_rank(args[0], [pair for pair in found if pair], scale, output.dtype))
        # Split and joined, not updated in place: the backward pass then has no scatter.
        parts = jnp.split(output, len(found), axis=-2)
        parts = [y + next(updates)[..., None, :] if pair else y for y, pair in zip(parts, found, strict=True)]
        return jnp.concatenate(parts, axis=-2)

    return nn.intercept_methods(intercept)


def split_adapters(params: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Splits a tree into the parameters of the model and its adapters, which are empty where there are none.

    Example:
      >>> split_adapters({"head": 1, "lora": {"backbone": 2}})
      ({'head': 1}, {'backbone': 2})
    """
    return {name: tree for name, tree in params.items() if name != ROOT}, dict(params.get(ROOT, {}))


def merge_adapters(params: Mapping[str, Any], adapters: Adapters) -> dict[str, Any]:
    """Adds adapters to the kernels of the layers they adapt: the same model without them (section 4.1).

    Args:
      params: with ``ROOT``; NumPy or JAX arrays, which stay what they are.
      adapters: their settings.

    Returns:
      The parameters without ``ROOT``; sums are taken in float32.

    Raises:
      InputError: for adapters of layers that the model does not have.
    """
    params, tree = split_adapters(params)
    flat, layers, pairs = dict(traverse_util.flatten_dict(params)), _dense_layers(params), _pairs(tree)
    strangers = ["/".join(path) for path in sorted(set(pairs) - set(layers))]
    if strangers:
        raise InputError(
            f"adapters of layers that the model does not have: {', '.join(strangers)}",
            where=ROOT,
            do="merge them into the model that they were trained with",
        )
    for path, (a, b) in pairs.items():
        layer = layers[path]
        kernel = flat[layer.kernel]
        # JAX's default product may round float32 to bfloat16 on an accelerator.
        xp, precision = (jnp, {"precision": "highest"}) if isinstance(kernel, jax.Array) else (np, {})
        a, b = (xp.asarray(matrix, xp.float32) for matrix in (a, b))
        update = adapters.scale * xp.matmul(a, b, **precision)
        if layer.part is None:
            merged = kernel.astype(xp.float32) + update
        else:
            mine = np.arange(kernel.shape[1])[:, None] == layer.part
            merged = xp.where(mine, kernel.astype(xp.float32) + update[:, None], kernel)
        flat[layer.kernel] = merged.astype(kernel.dtype)
    return traverse_util.unflatten_dict(flat)
