"""The batches of several runs on the devices: what some share is read once, what all share is put there once."""

from __future__ import annotations

import contextlib
from collections.abc import Hashable, Iterator, Sequence

import jax
import numpy as np

from tlj.training.stepping import host_calls
from tlj.training.stretch import Stretch
from tlj.training.together.program import batches_sharding

# Steps of a program, what one run would take for them (on the host), and what all of them take, on the devices.
Part = tuple[int, dict[str, np.ndarray], dict[str, jax.Array]]


def calls_to(step: int, end: int, per_call: int) -> list[tuple[int, int]]:
    """Returns the calls from one step to another: the first step of each, and how many it takes.

    Args:
      step: the first.
      end: the step that the last call leads to.
      per_call: steps of a call where there are as many left; else a call takes one.
    """
    calls = []
    while step < end:
        count = per_call if step + per_call <= end else 1
        calls.append((step, count))
        step += count
    return calls


class Orders:
    """The orders of batches that some runs read, each once.

    Args:
      asked: of the run at each place.
      keys: its ``order_key``.
      shared: whether their program takes one batch for all, which all then read.
    """

    def __init__(self, asked: Sequence[Stretch], keys: Sequence[Hashable], shared: bool):
        firsts = list(dict.fromkeys(keys))
        self._of_places = [firsts.index(key) for key in keys]
        self._asked = [asked[keys.index(key)] for key in firsts]
        self.shared = shared

    def calls(self, calls: Sequence[tuple[int, int]]) -> Iterator[list[Part]]:
        """Yields the parts of each call; close it to let go of the readers.

        Args:
          calls: of ``calls_to``.
        """
        with contextlib.ExitStack() as opened:
            readers = [opened.enter_context(host_calls(asked.setup, calls)) for asked in self._asked]
            for _ in calls:
                # Their batches are of one shape wherever runs of several orders are trained together.
                of_orders = [next(reader) for reader in readers]
                yield [self._put(parts) for parts in zip(*of_orders, strict=True)]

    def _put(self, parts: Sequence[tuple[int, dict[str, np.ndarray]]]) -> Part:
        count, first = parts[0]
        batch = first
        if not self.shared:
            axis = int(count > 1)
            batch = {name: np.stack([parts[order][1][name] for order in self._of_places], axis) for name in first}
        sharding = batches_sharding(self._asked[0], count, self.shared)
        return count, first, jax.device_put(batch, sharding)
