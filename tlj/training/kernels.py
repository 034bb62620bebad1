"""Which kernel of attention a run takes on its devices: what the config asks for, or what is fast there and right."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from tlj.errors import InputError
from tlj.models.attention.kernels import XLA, Kernels
from tlj.models.attention.self_attention import attend

# By the platform of the devices; JAX calls NVIDIA's and AMD's "gpu".
_FUSED = {"tpu": "flash", "gpu": "cudnn"}
_KEY = "config.attention.kernel"
# Rounding to bfloat16 is 2^-8 of a value; a wrong kernel is off by as much as the values.
_TOLERANCE = 0.05


def resolve_kernels(config: Mapping[str, Any], mesh: Mesh, *, divides: bool) -> Kernels:
    """Returns how attention is computed on the devices of a mesh.

    ``auto`` takes the fused kernel of the platform where it computes in the type of the run and, tried once in this
    process on a few numbers, agrees with XLA; elsewhere XLA.

    Args:
      config: of the run, nested.
      mesh: its devices; those that are not there, as in a plan, are not tried.
      divides: whether the compiler divides a global batch over the mesh, and a kernel is to be divided by hand.

    Raises:
      InputError: for a kernel that these devices or this type do not have.
    """
    asked, softmax = config["attention"]["kernel"], config["attention"]["softmax"]
    device = mesh.devices.flat[0]
    fused = _FUSED.get(device.platform, "xla")
    if asked not in ("auto", "xla", fused):
        where = {name: platform for platform, name in _FUSED.items()}[asked]
        what = f"{asked} is a kernel for {where.upper()}s, and this is a {device.platform.upper()}"
        raise InputError(what, where=_KEY, do="use auto")
    if asked == "cudnn" and config["dtype"] == "float32":
        raise InputError(
            "cuDNN's attention computes in 16 bits", where=_KEY, do="set config.dtype to bfloat16, or use auto"
        )
    if asked != "xla" and softmax == "compute" and fused != "xla":
        # What is asked for is a softmax that only XLA computes.
        if asked == fused:
            raise InputError(
                f"softmax of {asked} is float32", where="config.attention.softmax", do="leave it at float32, or use xla"
            )
        asked = "xla"
    chosen = fused if asked == "auto" else asked
    if chosen == "cudnn" and config["dtype"] == "float32":
        chosen = "xla"
    if asked == "auto" and chosen != "xla" and device in jax.local_devices():
        problem = _problem(chosen, config["dtype"])
        if problem:
            warnings.warn(f"attention.kernel: {chosen} is left out, XLA computes attention: {problem}", stacklevel=2)
            chosen = "xla"
    return Kernels(chosen, softmax, mesh if divides and chosen == "flash" else None)


@functools.lru_cache(maxsize=8)
def _problem(kernel: str, dtype: str) -> str:
    """What is wrong with a kernel on this machine, by values and gradients of a small batch; empty where nothing is."""
    try:
        expected, found = (_tried(Kernels(name), dtype) for name in (XLA.attention, kernel))
    except Exception as error:
        return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
    difference = max(float(np.abs(a - b).max()) for a, b in zip(expected, found, strict=True))
    return "" if difference <= _TOLERANCE else f"it differs from XLA by {difference:.3g}"


def _tried(kernels: Kernels, dtype: str) -> list[np.ndarray]:
    """Values and gradients of attention over two short sequences, the second of which ends early."""
    batch, length, heads, width = 2, 197, 2, 128
    numbers = np.random.default_rng(0).standard_normal((batch, length, 3 * width))
    mask = jnp.arange(length) < jnp.array([[length], [length // 2]])

    def total(projected: jax.Array) -> tuple[jax.Array, jax.Array]:
        mixed = attend(projected, heads, mask, kernels) * mask[..., None]
        return (mixed.astype(jnp.float32) ** 2).sum(), mixed

    gradient, mixed = jax.jit(jax.grad(total, has_aux=True))(jnp.asarray(numbers, dtype))
    return [np.asarray(leaf, np.float32) for leaf in (gradient, mixed)]
