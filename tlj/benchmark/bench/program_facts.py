"""How large a compiled program is, and what its devices add up among themselves."""

from __future__ import annotations

import re
from typing import Any

from tlj.benchmark.collectives import carried_bytes, reduced_arrays
from tlj.training.programs import Program

_INSTRUCTION = re.compile(r"^\s*(?:ROOT )?%?[\w.-]+ = ", re.MULTILINE)


def program_facts(program: Program) -> dict[str, Any]:
    """Returns ``instructions`` (of the compiled program), ``reductions`` (arrays that devices add up) and their bytes.

    Args:
      program: compiled.

    Returns:
      ``reduced_bytes`` are those that each device puts in; ``reductions`` counts one in a loop once.
    """
    text = program.call.as_text()
    arrays = reduced_arrays(text)
    return {
        "instructions": len(_INSTRUCTION.findall(text)),
        "reductions": len(arrays),
        "reduced_bytes": carried_bytes(arrays),
    }
