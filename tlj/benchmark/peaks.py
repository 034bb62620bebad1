"""Accelerators and what they can do at most, which says how much of one a step uses and how fast one could be.

Figures are those of the makers' data sheets, of one chip: the pages of Cloud TPU (docs.cloud.google.com/tpu/docs/v4,
and v5e, v5p and v6e there, read November 2026) and NVIDIA's of the A100, H100 and H200. Interconnect is one direction
of all links of a chip together, half of what is published for both; TPU v4's is from Jouppi et al. 2023
(arXiv:2304.01433): six links of 50 GB/s.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Accelerator:
    """One chip at its best.

    Attributes:
      name: as clouds and shops have it, for example ``"TPU v5e"``.
      kinds: how JAX's ``device_kind`` begins; JAX shows a v4 or v5p chip, which has two cores, as one device.
      flops: dense bfloat16 FLOPs per second.
      hbm_bytes: of memory; 0 where a kind comes with several.
      usable_bytes: of memory, as many as the TPU compiler gives to a program, by its refusals; 0 where not tried.
      hbm_bandwidth: bytes per second from and to its memory; 0 where a kind comes with several.
      interconnect: bytes per second that it sends to its neighbours, over all links together.
      slices: the TPU compiler's name of slices of it, such as ``v5e``; empty where it has none.
      shapes: of its usual slices, in chips.
      cores_named: cores that a name such as ``v4-32`` counts per chip; names with a shape count chips.
    """

    name: str
    kinds: tuple[str, ...]
    flops: float
    hbm_bytes: float = 0.0
    usable_bytes: float = 0.0
    hbm_bandwidth: float = 0.0
    interconnect: float = 0.0
    slices: str = ""
    shapes: tuple[str, ...] = ()
    cores_named: int = 1


_FLAT = ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")
_CUBES = ("2x2x1", "2x2x2", "2x2x4", "2x4x4", "4x4x4", "4x4x8", "4x8x8", "8x8x8", "8x8x16", "8x16x16")
_GIB = 2.0**30

ACCELERATORS = (
    Accelerator("TPU v4", ("TPU v4",), 275e12, 32 * _GIB, 30.75 * _GIB, 1200e9, 300e9, "v4", _CUBES, 2),
    Accelerator("TPU v5e", ("TPU v5 lite", "TPU v5e"), 197e12, 16 * _GIB, 15.75 * _GIB, 819e9, 200e9, "v5e", _FLAT),
    # Published as 95 GB; the compiler gives out more.
    Accelerator("TPU v5p", ("TPU v5",), 459e12, 96 * _GIB, 95.74 * _GIB, 2765e9, 600e9, "v5p", _CUBES, 2),
    Accelerator("TPU v6e", ("TPU v6 lite", "TPU v6e"), 918e12, 32 * _GIB, 31.25 * _GIB, 1638e9, 400e9, "v6e", _FLAT),
    Accelerator("A100", ("NVIDIA A100",), 312e12, interconnect=300e9),
    # The SXM module; other H100s are slower. An H200 is the same chip with another memory.
    Accelerator("H100", ("NVIDIA H100 80GB HBM3",), 989e12, 80e9, 0.0, 3350e9, 450e9),
    Accelerator("H200", ("NVIDIA H200",), 989e12, 141e9, 0.0, 4800e9, 450e9),
)
# Devices whose names begin like one above and whose peak is another.
_OTHERS = ("TPU v4 lite", "NVIDIA H200 NVL")


def accelerator(device_kind: str) -> Accelerator | None:
    """Returns the accelerator of a kind of device, or None where it is not known.

    Args:
      device_kind: as JAX names it.

    Example:
      >>> accelerator("TPU v5 lite").name
      'TPU v5e'
    """
    fitting = {kind: chip for chip in ACCELERATORS for kind in chip.kinds if device_kind.startswith(kind)}
    if not fitting or device_kind.startswith(_OTHERS):
        return None
    return fitting[max(fitting, key=len)]


def peak_flops(device_kind: str) -> float | None:
    """Returns the bfloat16 FLOPs per second that one device can reach at most, or None where that is not known.

    Args:
      device_kind: as JAX names it.

    Example:
      >>> peak_flops("TPU v5 lite")
      197000000000000.0
    """
    chip = accelerator(device_kind)
    return chip and chip.flops


def flops_utilisation(flops: float, seconds: float, devices: int, device_kind: str) -> float | None:
    """Returns the share of the devices' peak that a step uses (MFU), or None where the peak is not known.

    Args:
      flops: of the step, on all devices together.
      seconds: that it takes.
      devices: that share it.
      device_kind: as JAX names it.
    """
    peak = peak_flops(device_kind)
    return None if peak is None else flops / (seconds * devices * peak)
