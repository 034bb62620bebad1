"""What a compiler says of a program for one chip of several."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Facts:
    """The compiler's account of one training step, on each chip.

    Attributes:
      flops: of a step.
      bytes: that it reads from and writes to memory.
      all_reduce_bytes: that its reductions over chips carry, as each chip puts them in.
      sent_bytes: that each chip sends to the others, in rings.
      argument_bytes: memory of state and batch.
      output_bytes: memory of results that take no argument's.
      temporary_bytes: memory of what is computed in between.
      code_bytes: memory of the program itself.
    """

    flops: float
    bytes: float
    all_reduce_bytes: int
    sent_bytes: float
    argument_bytes: int
    output_bytes: int
    temporary_bytes: int
    code_bytes: int

    @property
    def peak_bytes(self) -> int:
        """All memory that the step takes."""
        return self.argument_bytes + self.output_bytes + self.temporary_bytes + self.code_bytes


@dataclasses.dataclass(frozen=True)
class TooLarge:
    """A step that the compiler has refused, as it takes more memory than a chip has.

    Attributes:
      needed_bytes: of memory.
      usable_bytes: of memory, as much as a program may have.
    """

    needed_bytes: float
    usable_bytes: float


Answer = Facts | TooLarge
