"""The float32 values of frozen parameters that the devices hold in the compute type, on the host meanwhile."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from tlj.freezing.digests import leaf_digests
from tlj.training.compute_type import rounded_arrays, rounded_in_phase
from tlj.training.programs import Programs
from tlj.training.setup import Setup
from tlj.training.state import TrainState


class Originals:
    """What a phase rounds of a run, as it was before; of a phase that rounds nothing there is nothing here.

    Args:
      setup: of the run.
      programs: compiled programs to share.
    """

    def __init__(self, setup: Setup, programs: Programs):
        self._setup, self._programs = setup, programs
        self._values: dict[str, np.ndarray] = {}
        self._digests: dict[str, str] = {}
        self._rounded_digests: dict[str, str] = {}

    def keep(self, params: Mapping[str, Any], index: int) -> None:
        """Keeps what a phase rounds, in place of what an earlier one did.

        Args:
          params: float32, nested, before they are rounded.
          index: of the phase.
        """
        paths = rounded_in_phase(self._setup, self._setup.phases[index])
        flat = traverse_util.flatten_dict(dict(params), sep="/")
        self._values = jax.device_get({path: flat[path] for path in paths if path in flat})
        self._digests, self._rounded_digests = {}, {}

    def rounded(self, state: TrainState, index: int) -> TrainState:
        """Returns a state as a phase takes it, and keeps what it rounds of it.

        Args:
          state: all in float32.
          index: of the phase.
        """
        self.keep(state.params, index)
        return self._rounded(state) if self._values else state

    def _rounded(self, state: TrainState) -> TrainState:
        return state.replace(params=rounded_arrays(state.params, self._values, self._setup.dtype, self._programs))

    def whole(self, state: TrainState, left_out: Collection[str] = ()) -> TrainState:
        """Returns a state of the phase in float32, with what was kept on the devices again.

        Args:
          state: of the phase.
          left_out: parameters that are not asked for.
        """
        flat = traverse_util.flatten_dict(state.params, sep="/")
        back = {
            path: jax.device_put(value, flat[path].sharding)
            for path, value in self._values.items()
            if path in flat and path not in left_out
        }
        return state.replace(params=traverse_util.unflatten_dict({**flat, **back}, sep="/")) if back else state

    def digests(self, state: TrainState, found: Mapping[str, str]) -> dict[str, str]:
        """Returns digests of a state's parameters and statistics as they are in float32.

        The original stands for what it is rounded to, if the devices still hold that, bit for bit.

        Args:
          state: of the phase.
          found: its digests, by path; of arrays that are known not to change they may be the original's.
        """
        if not self._values:
            return dict(found)
        if not self._digests:
            self._digests = leaf_digests(self._values)
        original = {path: digest for path, digest in self._digests.items() if path in found}
        if unknown := [path for path in original if found[path] not in (original[path], self._expected(path))]:
            self._expect(state, unknown)
        return {
            path: original[path] if path in original and digest in (original[path], self._expected(path)) else digest
            for path, digest in found.items()
        }

    def _expected(self, path: str) -> str | None:
        return self._rounded_digests.get(path)

    def _expect(self, state: TrainState, paths: Collection[str]) -> None:
        """Rounds originals once more, as the devices do it."""
        flat = traverse_util.flatten_dict(state.params, sep="/")
        again = {path: jax.device_put(self._values[path], flat[path].sharding) for path in paths}
        rounded = rounded_arrays(traverse_util.unflatten_dict(again, sep="/"), paths, self._setup.dtype, self._programs)
        self._rounded_digests |= leaf_digests(rounded)
