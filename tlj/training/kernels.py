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
from tlj.models.registry import Family

# By the platform of the devices; JAX calls NVIDIA's and AMD's "gpu".
_FUSED = {"tpu": "flash", "gpu": "cudnn"}
_KEY = "config.attention.kernel"
# Rounding to bfloat16 is 2^-8 of a value; a wrong kernel is off by as much as the values.
_TOLERANCE = 0.05


def check_kernels(config: Mapping[str, Any], mesh: Mesh, family: Family) -> None:
    """Checks that the devices of a mesh have the kernel that a config asks for; nothing is tried.

    Args:
      config: of the run, nested.
      mesh: its devices.
      family: of the model; one without attention asks for no kernel.

    Raises:
      InputError: for a kernel that these devices, this type or this softmax do not have.
    """
    asked, platform = config["attention"]["kernel"], _platform(mesh)
    if not family.attention or asked in ("auto", "xla"):
        return
    if asked != _FUSED.get(platform):
        where = {name: platform for platform, name in _FUSED.items()}[asked]
        what = f"{asked} is a kernel for {where.upper()}s, and this is a {platform.upper()}"
        raise InputError(what, where=_KEY, do="use auto")
    if not _has_type(asked, config["dtype"]):
        raise InputError(
            "cuDNN's attention computes in 16 bits", where=_KEY, do="set config.dtype to bfloat16, or use auto"
        )
    if config["attention"]["softmax"] == "compute":
        raise InputError(
            f"softmax of {asked} is float32", where="config.attention.softmax", do="leave it at float32, or use xla"
        )


def resolve_kernels(config: Mapping[str, Any], mesh: Mesh, family: Family, *, divides: bool) -> Kernels:
    """Returns how attention is computed on the devices of a mesh, for a config that ``check_kernels`` has passed.

    ``auto`` takes the fused kernel of the platform where it computes in the types of the run and, tried once in this
    process on a few numbers, agrees with XLA; elsewhere XLA.

    Args:
      config: of the run, nested.
      mesh: its devices; those that are not there, as in a plan, are not tried.
      family: of the model.
      divides: whether the compiler divides a global batch over the mesh, and a kernel is to be divided by hand.
    """
    if not family.attention:
        return XLA
    softmax, chosen = config["attention"]["softmax"], config["attention"]["kernel"]
    if chosen == "auto":
        chosen = _fastest(_platform(mesh), config["dtype"], softmax)
        # Every process has devices of its own in the mesh, so that all of them try, and come to one answer.
        here = set(jax.local_devices()).intersection(mesh.devices.flat)
        problem = _problem(chosen, config["dtype"]) if here and chosen != "xla" else ""
        if problem:
            warnings.warn(f"attention.kernel: {chosen} is left out, XLA computes attention: {problem}", stacklevel=2)
            chosen = "xla"
    return Kernels(chosen, softmax, mesh if divides and chosen == "flash" else None)


def _platform(mesh: Mesh) -> str:
    return mesh.devices.flat[0].platform


def _has_type(kernel: str, dtype: str) -> bool:
    return kernel != "cudnn" or dtype != "float32"


def _fastest(platform: str, dtype: str, softmax: str) -> str:
    """The fused kernel of a platform, or XLA where there is none for these types."""
    fused = _FUSED.get(platform, "xla")
    # A softmax in the type of the backbone is one that only XLA computes.
    return fused if _has_type(fused, dtype) and softmax == "float32" else "xla"


@functools.lru_cache(maxsize=8)
def _problem(kernel: str, dtype: str) -> str:
    """What is wrong with a kernel on this machine, by values and gradients of a small batch; empty where nothing is."""
    try:
        expected, found = (_tried(Kernels(name), dtype) for name in (XLA.attention, kernel))
    except Exception as error:
        return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
    difference = float(np.max([np.abs(a - b).max() for a, b in zip(expected, found, strict=True)]))
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
