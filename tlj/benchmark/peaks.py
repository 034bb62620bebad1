"""The peak throughput of accelerators, which says how much of one a step uses."""

from __future__ import annotations

# Dense bfloat16 FLOPs per second of one device, by the beginning of JAX's ``device_kind``, from the makers' data
# sheets. JAX shows a v4 or v5p chip as one device.
_PEAKS = {
    "TPU v4": 275e12,
    "TPU v5 lite": 197e12,
    "TPU v5e": 197e12,
    "TPU v5": 459e12,
    "TPU v6 lite": 918e12,
    "TPU v6e": 918e12,
    "NVIDIA A100": 312e12,
    # The SXM module; other H100s are slower. An H200 is the same chip with another memory.
    "NVIDIA H100 80GB HBM3": 989e12,
    "NVIDIA H200": 989e12,
}
# Devices whose names begin like one above and whose peak is another.
_OTHERS = ("TPU v4 lite", "NVIDIA H200 NVL")


def peak_flops(device_kind: str) -> float | None:
    """Returns the bfloat16 FLOPs per second that one device can reach at most, or None where that is not known.

    Args:
      device_kind: as JAX names it.

    Example:
      >>> peak_flops("TPU v5 lite")
      197000000000000.0
    """
    fitting = [name for name in _PEAKS if device_kind.startswith(name)]
    if not fitting or device_kind.startswith(_OTHERS):
        return None
    return _PEAKS[max(fitting, key=len)]


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
