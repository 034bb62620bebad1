"""Compiled programs: made once, shared by every run of one shape, and counted by the compiler's own events."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from typing import Any

import jax
from jax import monitoring

_COMPILE_EVENT = "/jax/core/compile/backend_compile_duration"
_listening: list[collections.Counter[str]] = []
_registered = False


def _on_event(event: str, duration: float, **details: Any) -> None:
    if event == _COMPILE_EVENT:
        name = str(details.get("fun_name", "?")).removeprefix("jit(").removesuffix(")")
        for counter in _listening:
            counter[name] += 1


@contextlib.contextmanager
def count_compilations() -> Iterator[collections.Counter[str]]:
    """Counts every program that XLA compiles (or takes from its cache on disk) in this context, by name.

    The count is JAX's, not ours: an operation that slips out of a compiled step shows up in it.
    """
    global _registered
    if not _registered:
        monitoring.register_event_duration_secs_listener(_on_event)
        _registered = True
    counter: collections.Counter[str] = collections.Counter()
    _listening.append(counter)
    try:
        yield counter
    finally:
        _listening[:] = [other for other in _listening if other is not counter]


@dataclasses.dataclass(frozen=True)
class Program:
    """A compiled program.

    Attributes:
      call: runs it.
      flops: of one call on all devices, by the compiler's cost analysis.
      compile_s: seconds that tracing and compiling took.
      peak_bytes: of memory on each device during a call, by the compiler's own account; None where it gives none.
    """

    call: Callable[..., Any]
    flops: float
    compile_s: float
    peak_bytes: int | None


class Programs:
    """Programs by key, compiled on first use; threads that want the same one wait for the first."""

    def __init__(self) -> None:
        self._programs: dict[Hashable, Program] = {}
        self._lock = threading.Lock()
        self._locks: dict[Hashable, threading.Lock] = collections.defaultdict(threading.Lock)

    def get(
        self,
        key: Hashable,
        make: Callable[[], jax.stages.Wrapped],
        *shapes: Any,
        flops: Callable[[float], float] = float,
    ) -> tuple[Program, bool]:
        """Returns the program of a key.

        Args:
          key: everything that the program depends on.
          make: builds the jitted function where there is none yet.
          *shapes: its arguments, as arrays or as shapes with shardings.
          flops: from those that the compiler counts on one device, of a loop only once around, to all there are.

        Returns:
          The program, and whether this call compiled it.
        """
        with self._lock:
            lock = self._locks[key]
        with lock:
            if key in self._programs:
                return self._programs[key], False
            begin = time.perf_counter()
            compiled = make().lower(*shapes).compile()
            seconds = time.perf_counter() - begin
            devices = len({device for leaf in jax.tree.leaves(compiled.input_shardings) for device in leaf.device_set})
            counted = float((compiled.cost_analysis() or {}).get("flops", float("nan")))
            self._programs[key] = Program(compiled, flops(counted) * max(devices, 1), seconds, _peak_bytes(compiled))
            return self._programs[key], True


def _peak_bytes(compiled: jax.stages.Compiled) -> int | None:
    """Arguments, outputs that take no argument's memory, and temporaries."""
    memory = compiled.memory_analysis()
    if memory is None:
        return None
    outputs = memory.output_size_in_bytes - memory.alias_size_in_bytes
    return memory.argument_size_in_bytes + outputs + memory.temp_size_in_bytes
