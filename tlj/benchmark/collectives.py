"""What devices add up and send among themselves: the arrays that a compiled program's collectives carry."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable

_REDUCTIONS = ("all-reduce", "reduce-scatter")
_COLLECTIVES = (*_REDUCTIONS, "all-gather", "all-to-all", "collective-permute")

# ``%name = type operation(operands), attributes``. The type comes first and may be a tuple, with layouts and comments.
_INSTRUCTION = re.compile(r"\s*(?:ROOT )?%?([\w.-]+) = (.+?) ([a-z][\w-]*)\((.*)")
_ARRAY = re.compile(r"(\w+)\[([\d,<=]*)\]")
_OPERAND = re.compile(r"%([\w.-]+)")
# Devices that take part together: listed, as ``[groups,devices]<=[all]``, or as axes of a mesh along which they lie.
_GROUP = re.compile(r"replica_groups=(?:\{\{([\d,]+)\}|\[\d+,(\d+)\]|mesh\[([^\]]*)\] ?\{([^}]*)\})")
_AXIS = re.compile(r"'(\w+)'=(\d+)")
_ALONG = re.compile(r"'(\w+)'(?::\(\d+\)(\d+))?")


@dataclasses.dataclass(frozen=True)
class Collective:
    """One array that a collective carries, as each device puts it in.

    Attributes:
      operation: such as ``"all-reduce"`` or ``"reduce-scatter"``, whether asynchronous or not.
      dtype: the compiler's name, for example ``"f32"`` or ``"bf16"``.
      shape: as the compiler laid it out; that of a gradient may be transposed. A scalar, such as a metric, has ``()``.
      devices: that take part together; 0 is all.
    """

    operation: str
    dtype: str
    shape: tuple[int, ...]
    devices: int = dataclasses.field(default=0, compare=False)

    @property
    def bytes(self) -> int:
        """Its size on one device."""
        number = re.search(r"\d+", self.dtype)
        # A truth value, which has no number, takes a byte; four-bit types are packed.
        bits = int(number.group()) if number else 8
        return math.ceil(math.prod(self.shape) * bits / 8)


def reduced_arrays(hlo_text: str) -> tuple[Collective, ...]:
    """Returns every array that all-reduces and reduce-scatters of a program carry, in the order of its text.

    See ``collective_arrays``.

    Args:
      hlo_text: of a compiled program.
    """
    return tuple(array for array in collective_arrays(hlo_text) if array.operation in _REDUCTIONS)


def collective_arrays(hlo_text: str) -> tuple[Collective, ...]:
    """Returns every array that collectives of a program carry, in the order of its text.

    What stands in a loop is returned once, however often the loop runs.

    Args:
      hlo_text: of a compiled program: ``jax.jit(f).lower(...).compile().as_text()``. Before it is compiled, a program
        that is sharded by annotations holds no collectives yet.
    """
    arrays: dict[str, Collective] = {}
    found = []
    for line in hlo_text.splitlines():
        instruction = _INSTRUCTION.match(line)
        if not instruction:
            continue
        name, kind, operation, rest = instruction.groups()
        # An asynchronous collective is a pair of instructions, of which the first names what is carried.
        operation = operation.removesuffix("-start")
        if operation in _COLLECTIVES:
            # Operands, not results: a reduce-scatter returns a part of what it reduces.
            operands = [arrays[operand] for operand in _OPERAND.findall(_enclosed(rest))]
            found += [dataclasses.replace(array, operation=operation, devices=_together(rest)) for array in operands]
        array = _ARRAY.match(kind)
        if array:
            # Operands stand above their use in the same computation, so a name that comes again may be overwritten.
            shape = tuple(int(size.lstrip("<=")) for size in array.group(2).split(",") if size)
            arrays[name] = Collective("", array.group(1), shape)
    return tuple(found)


def _together(attributes: str) -> int:
    """How many devices are in a group; 0 where the text does not say, and all are."""
    group = _GROUP.search(attributes)
    if not group:
        return 0
    listed, number, mesh, along = group.groups()
    if mesh is not None:
        sizes = dict(_AXIS.findall(mesh))
        return math.prod(int(part or sizes[name]) for name, part in _ALONG.findall(along))
    return int(number) if number else listed.count(",") + 1


def _enclosed(text: str) -> str:
    """The text up to the parenthesis that closes one that was opened before it; layouts hold pairs of them."""
    depth = 1
    for position, character in enumerate(text):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if not depth:
            return text[:position]
    return text


def carried_bytes(collectives: Iterable[Collective]) -> int:
    """Returns the bytes that reductions carry, as each device puts them in.

    Example:
      >>> carried_bytes([Collective("all-reduce", "f32", (4, 8)), Collective("all-reduce", "bf16", (3,))])
      134
    """
    return sum(collective.bytes for collective in collectives)


def sent_bytes(collectives: Iterable[Collective], devices: int) -> float:
    """Returns the bytes that each device sends to others where collectives go around in rings.

    Of what each of n devices puts in, that is 2 (n - 1) / n for an all-reduce, half as much for a reduce-scatter or an
    all-to-all, and n - 1 for an all-gather (Patarasuk and Yuan 2009).

    Args:
      collectives: of a program.
      devices: that run it.

    Example:
      >>> sent_bytes([Collective("all-reduce", "f32", (8,))], 4)
      48.0
    """
    total = 0.0
    for collective in collectives:
        n = collective.devices or devices
        once = (n - 1) / n
        share = {"all-reduce": 2 * once, "all-gather": n - 1, "collective-permute": 1.0}
        total += share.get(collective.operation, once) * collective.bytes
    return total
