"""How fast a step could be at best: the roofline of a chip, from what the compiler says of the step."""

from __future__ import annotations

import dataclasses

from tlj.benchmark.peaks import Accelerator
from tlj.benchmark.topology.facts import Facts

FORMULA = (
    "predicted step = max(FLOPs / peak FLOP/s, bytes / memory bandwidth, bytes sent in rings / interconnect "
    "bandwidth), per chip"
)


@dataclasses.dataclass(frozen=True)
class Roofline:
    """What each limit of a chip alone would make of a step.

    Attributes:
      compute_s: seconds at the peak of bfloat16 FLOPs.
      memory_s: seconds at the bandwidth of its memory.
      interconnect_s: seconds at the bandwidth of its links, with rings over all of them.
    """

    compute_s: float
    memory_s: float
    interconnect_s: float

    @property
    def seconds(self) -> float:
        """Of a step in which all three go on at once (Williams et al. 2009)."""
        return max(self.compute_s, self.memory_s, self.interconnect_s)

    @property
    def seconds_in_turn(self) -> float:
        """Of a step in which none goes on beside another."""
        return self.compute_s + self.memory_s + self.interconnect_s

    @property
    def bound(self) -> str:
        """What takes longest: ``compute``, ``memory`` or ``interconnect``."""
        times = {"compute": self.compute_s, "memory": self.memory_s, "interconnect": self.interconnect_s}
        return max(times, key=times.get)


def roofline(facts: Facts, chip: Accelerator) -> Roofline:
    """Returns the roofline of a step on a chip.

    Args:
      facts: of the step, per chip.
      chip: whose bandwidths are known.
    """
    return Roofline(facts.flops / chip.flops, facts.bytes / chip.hbm_bandwidth, facts.sent_bytes / chip.interconnect)
