"""Slices of TPUs by name: how many chips, in what shape, and what the TPU compiler calls them."""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Any

from tlj.benchmark.peaks import ACCELERATORS, Accelerator
from tlj.errors import InputError, nearest_name

WHERE = "--topology"
_TPUS = {chip.slices: chip for chip in ACCELERATORS if chip.slices}
# Clouds' other names of the same chips.
_ALIASES = {"v5litepod": "v5e", "v5lite": "v5e"}
_NAME = re.compile(r"(v\d\w*?)(?::(\d+(?:x\d+){1,2})|-(\d+))")


@dataclasses.dataclass(frozen=True)
class Slice:
    """Chips of one kind that are connected.

    Attributes:
      name: as it was asked for.
      accelerator: each of them.
      shape: chips along each axis.
    """

    name: str
    accelerator: Accelerator
    shape: tuple[int, ...]

    @property
    def chips(self) -> int:
        """How many there are; JAX shows each as a device."""
        return math.prod(self.shape)

    @property
    def compiler_name(self) -> str:
        """What the TPU compiler calls it."""
        return f"{self.accelerator.slices}:{'x'.join(map(str, self.shape))}"

    @property
    def options(self) -> dict[str, Any]:
        """What the TPU compiler must be told besides: how chips are shown, and that a host may have a single one."""
        # By default the two cores of a v4 chip would be two devices, which they are in no run.
        megacore = {"chip_config_name": "megacore"} if self.accelerator.slices == "v4" else {}
        return {**megacore, **({"chips_per_host_bounds": [1, 1, 1]} if self.chips == 1 else {})}


def parse_slices(text: str) -> tuple[Slice, ...]:
    """Returns the slices of ``--topology``.

    Args:
      text: names separated by commas: ``v5e:4x4`` (a shape, in chips), or as clouds have it ``v5litepod-16``,
        ``v5e-16`` and ``v6e-16`` (chips), ``v4-32`` and ``v5p-32`` (cores, two a chip).

    Raises:
      InputError: for a name that is none, or one that stands twice.
    """
    slices = tuple(_parse(name.strip()) for name in text.split(","))
    names = [one.compiler_name for one in slices]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"{twice} stands twice", where=WHERE, do="name each once")
    return slices


def _parse(name: str) -> Slice:
    matched = _NAME.fullmatch(name.lower())
    kind = matched and _ALIASES.get(matched[1], matched[1])
    if not matched or kind not in _TPUS:
        raise _unknown(name)
    chip = _TPUS[kind]
    if matched[2]:
        shape = tuple(int(size) for size in matched[2].split("x"))
        _check_shape(name, chip, shape)
        return Slice(name, chip, shape)
    for usual in chip.shapes:
        shape = tuple(int(size) for size in usual.split("x"))
        if math.prod(shape) * chip.cores_named == int(matched[3]):
            return Slice(name, chip, shape)
    raise _unknown(name)


def _check_shape(name: str, chip: Accelerator, shape: tuple[int, ...]) -> None:
    """Refuses shapes that no slice has before the compiler is started, which would say so otherwise."""
    axes = chip.shapes[0].count("x") + 1
    if len(shape) != axes:
        example = f"{chip.slices}:{chip.shapes[1]}"
        raise InputError(f"{name}: slices of {chip.slices} have {axes} axes", where=WHERE, nearest=example, do=_usual())
    # A host has 2x2 chips, but for the one chip of a v5e or v6e; the largest are 16x16, and 16x16x24 of a v5p.
    is_one = shape == (1, 1)
    if (any(size % 2 for size in shape[:2]) and not is_one) or 0 in shape or max(shape) > (16 if axes == 2 else 24):
        raise _unknown(name)


def _unknown(name: str) -> InputError:
    matched = _NAME.fullmatch(name.lower())
    kind = matched and _ALIASES.get(matched[1], matched[1])
    chips = [_TPUS[kind]] if kind in _TPUS else list(_TPUS.values())
    if matched and matched[3] and kind in _TPUS:
        counts = [_by_count(chips[0], shape) for shape in chips[0].shapes]
        nearest = min(counts, key=lambda one: abs(int(one.partition("-")[2]) - int(matched[3])))
    else:
        nearest = nearest_name(name, [f"{chip.slices}:{shape}" for chip in chips for shape in chip.shapes])
    return InputError(f"unknown topology {name!r}", where=WHERE, nearest=nearest, do=_usual())


def _by_count(chip: Accelerator, shape: str) -> str:
    return f"{chip.slices}-{math.prod(map(int, shape.split('x'))) * chip.cores_named}"


def _usual() -> str:
    """The valid names: kinds of chips that have the same shapes, and those."""
    kinds: dict[tuple[str, ...], list[str]] = {}
    for chip in _TPUS.values():
        kinds.setdefault(chip.shapes, []).append(chip.slices)
    told = [f"{' or '.join(names)}, with :{', :'.join(shapes)}" for shapes, names in kinds.items()]
    return f"use one of {'; '.join(told)}; or a count, such as {_by_count(_TPUS['v5e'], '4x4')} or v4-32"
