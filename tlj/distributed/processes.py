"""What a program asks of the processes that train with it; in a single process every answer is at hand."""

from __future__ import annotations

import json
import math
import os
import traceback
import warnings
from collections.abc import Callable
from typing import Any

from tlj.distributed.group import Group
from tlj.distributed.place import Place
from tlj.distributed.preemption import use_stopping
from tlj.distributed.roll_call import assemble
from tlj.errors import RunError

PEER_TIMEOUT = 300.0
"""Seconds to wait for the other processes at the start."""

# What gRPC reads, in small letters only.
_PAST_PROXIES = "no_grpc_proxy"

_group: Group | None = None


def is_main() -> bool:
    """Whether this process writes the files and says what there is to say: process 0, or the only one."""
    return process_index() == 0


def process_index() -> int:
    """Which of the processes this is, from 0."""
    return 0 if _group is None else _group.place.process


def process_count() -> int:
    """How many processes train together."""
    return 1 if _group is None else _group.place.processes


def barrier(name: str) -> None:
    """Waits until every process is here.

    Args:
      name: of the place in the program; all give the same.

    Raises:
      RunError: another process is at another place.
    """
    if _group is not None:
        _group.wait(name)


def agree(value: Any) -> Any:
    """Returns the value of process 0 to all, as JSON has it: a tuple becomes a list, and keys become text.

    Every process calls it, in the same order; process 0 does not wait for the others.

    Args:
      value: of process 0; what the others give does not matter.
    """
    value = json.loads(json.dumps(value)) if is_main() else None
    return value if _group is None else _group.share(value)


def join(place: Place | None, timeout: float = PEER_TIMEOUT) -> None:
    """Brings the processes together, before JAX is used: afterwards its devices are those of all.

    Args:
      place: of this process; None, or one of a single process, and there is nobody to wait for.
      timeout: seconds until who has not come is missing.

    Raises:
      InputError: the port is taken, or two processes have one number.
      RunError: a process is missing.
    """
    global _group
    if place is None or place.processes == 1:
        return
    if _group is not None:
        raise RunError("the processes have been brought together already; call join once")
    warnings.warn(
        f"tlj: waiting for {place.processes} processes at {place.coordinator} (timeout {timeout:g} s)", stacklevel=2
    )
    wires = assemble(place, timeout)
    import jax

    _go_past_proxies(place)
    # Its C++ part takes SIGTERM for itself and says nothing of when the notice came; see `watch_for_preemption`.
    jax.config.update("jax_enable_preemption_service", False)
    jax.distributed.initialize(
        place.coordinator,
        place.processes,
        place.process,
        local_device_ids=place.devices,
        cluster_detection_method="deactivate",
        initialization_timeout=math.ceil(timeout),
    )
    _group = Group(place, wires)
    use_stopping(_group.stopping)


def _go_past_proxies(place: Place) -> None:
    """Has JAX's connections go straight to process 0: through a proxy of the web they would not come to be."""
    import jax

    past = [os.environ[name] for name in (_PAST_PROXIES, "no_proxy", "NO_PROXY") if os.environ.get(name)][:1]
    os.environ[_PAST_PROXIES] = ",".join([*past, place.address[0]])
    jax.config.update("jax_check_proxy_envs", False)


def end_together(run: Callable[[], int]) -> int:
    """Runs what leads to the exit code of this process, and sees that the others end too.

    In a single process it is ``run()``. Of several, one that ends with an error does so at once, without JAX's own
    end, which would wait for minutes for the others and then abort all of them.

    Args:
      run: returns the exit code; 0 and 75 are those that all processes reach together.
    """
    try:
        code = run()
    except BaseException:
        if _group is None:
            raise
        # A collective fails when a process at its other end dies, and then that is what there is to say.
        _group.stop_if_another_has()
        traceback.print_exc()
        code = 1
    if _group is not None:
        _group.end(code)
    return code
