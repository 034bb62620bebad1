"""What devices add up among themselves: the arrays that the reductions of a compiled program carry."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable

# An asynchronous reduction is a pair of instructions, of which the first names what is carried.
_REDUCTIONS = ("all-reduce", "all-reduce-start", "reduce-scatter", "reduce-scatter-start")

# ``%name = type operation(operands), attributes``. The type comes first and may be a tuple, with layouts and comments.
_INSTRUCTION = re.compile(r"\s*(?:ROOT )?%?([\w.-]+) = (.+?) ([a-z][\w-]*)\((.*)")
_ARRAY = re.compile(r"(\w+)\[([\d,<=]*)\]")
_OPERAND = re.compile(r"%([\w.-]+)")


@dataclasses.dataclass(frozen=True)
class Collective:
    """One array that a reduction over devices carries, as each device puts it in.

    Attributes:
      operation: ``"all-reduce"`` or ``"reduce-scatter"``, whether asynchronous or not.
      dtype: the compiler's name, for example ``"f32"`` or ``"bf16"``.
      shape: as the compiler laid it out; that of a gradient may be transposed. A scalar, such as a metric, has ``()``.
    """

    operation: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """Its size on one device."""
        number = re.search(r"\d+", self.dtype)
        # A truth value, which has no number, takes a byte; four-bit types are packed.
        bits = int(number.group()) if number else 8
        return math.ceil(math.prod(self.shape) * bits / 8)


def reduced_arrays(hlo_text: str) -> tuple[Collective, ...]:
    """Returns every array that all-reduces and reduce-scatters of a program carry, in the order of its text.

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
        if operation in _REDUCTIONS:
            # Operands, not results: a reduce-scatter returns a part of what it reduces.
            operands = [arrays[operand] for operand in _OPERAND.findall(_enclosed(rest))]
            found += [dataclasses.replace(array, operation=operation.removesuffix("-start")) for array in operands]
        array = _ARRAY.match(kind)
        if array:
            # Operands stand above their use in the same computation, so a name that comes again may be overwritten.
            shape = tuple(int(size.lstrip("<=")) for size in array.group(2).split(",") if size)
            arrays[name] = Collective("", array.group(1), shape)
    return tuple(found)


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

    Of that, a ring of n devices sends 2 (n - 1) / n over each link for an all-reduce, and half as much for a
    reduce-scatter (Patarasuk and Yuan 2009).

    Example:
      >>> carried_bytes([Collective("all-reduce", "f32", (4, 8)), Collective("all-reduce", "bf16", (3,))])
      134
    """
    return sum(collective.bytes for collective in collectives)
