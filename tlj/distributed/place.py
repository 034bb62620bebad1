"""Which of several processes this one is: what the user says, or else what the cluster says."""

from __future__ import annotations

import dataclasses
import os

from tlj.errors import InputError

# JAX's own choice for TPU, 8482, was blocked on some TPU images.
PORT = "8476"


@dataclasses.dataclass(frozen=True)
class Place:
    """The place of this process among those that train together.

    Attributes:
      coordinator: ``HOST:PORT`` where process 0 listens, reachable from all.
      processes: how many there are.
      process: which of them this is, from 0.
      devices: the local accelerators that are for this process; None for all that it sees.
      told_by: where this is from, for messages.
    """

    coordinator: str
    processes: int
    process: int
    devices: tuple[int, ...] | None = None
    told_by: str = "--coordinator"

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the coordinator; the host of an IPv6 address without its brackets."""
        host, _, port = self.coordinator.rpartition(":")
        return host.strip("[]"), int(port)


def find_place(
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
    *,
    detect: bool = True,
) -> Place | None:
    """Returns the place of this process, or None where it trains alone.

    Args:
      coordinator: ``HOST:PORT`` or ``HOST`` of process 0; by default ``JAX_COORDINATOR_ADDRESS``.
      processes: how many processes there are.
      process: which of them this is, from 0.
      detect: whether to ask the cluster for what is not given.

    Raises:
      InputError: one of the three is missing, and no cluster tells it, or it cannot be right.
    """
    given = (coordinator, processes, process)
    if not detect:
        if any(part is not None for part in given):
            raise InputError(
                "a single process has no peers",
                where="--single-process",
                do="leave out --coordinator, --processes and --process, or --single-process",
            )
        return None
    coordinator = coordinator or os.environ.get("JAX_COORDINATOR_ADDRESS")
    if coordinator and processes is not None and process is not None:
        return _checked(Place(_with_port(coordinator), processes, process))
    from tlj.distributed.clusters import detect_place

    found = detect_place(coordinator)
    if found is None:
        if all(part is None for part in given):
            return None
        raise _missing(coordinator, processes, process)
    told = {
        name: value
        for name, value in (
            ("coordinator", coordinator and _with_port(coordinator)),
            ("processes", processes),
            ("process", process),
        )
        if value is not None
    }
    place = dataclasses.replace(found, **told)
    return _checked(place) if place.processes > 1 or told else None


def _with_port(coordinator: str) -> str:
    """Returns ``HOST:PORT``, whether the port was given or not."""
    host, colon, port = coordinator.rpartition(":")
    if not colon or coordinator.endswith("]"):
        host, port = coordinator, os.environ.get("JAX_COORDINATOR_PORT", PORT)
    if not host or not port.isascii() or not port.isdecimal() or not 0 < int(port) < 65536:
        raise InputError(f"{coordinator!r} is no HOST:PORT", where="--coordinator", do=f"write it like node1:{PORT}")
    if ":" in host and not host.startswith("["):
        raise InputError(
            f"{coordinator!r} is no HOST:PORT", where="--coordinator", do=f"write an IPv6 address like [fe80::1]:{PORT}"
        )
    return f"{host}:{port}"


def _checked(place: Place) -> Place:
    """Returns a place that can be."""
    if place.processes < 1:
        raise InputError(f"{place.processes} processes", where="--processes", do="give how many there are, at least 1")
    if not 0 <= place.process < place.processes:
        last = place.processes - 1
        raise InputError(
            f"no process {place.process} among {place.processes}",
            where="--process",
            do=f"give a number from 0 to {last}" if last else "give 0",
        )
    return place


def _missing(coordinator: str | None, processes: int | None, process: int | None) -> InputError:
    """Returns the error for a place that nobody tells whole."""
    flags = {"--coordinator": coordinator, "--processes": processes, "--process": process}
    given = [flag for flag, value in flags.items() if value is not None]
    missing = [flag for flag, value in flags.items() if value is None]
    return InputError(
        f"no {' and no '.join(missing)}, and no cluster that would tell",
        where=", ".join(given),
        do="give all three: --coordinator=HOST:PORT --processes=N --process=I",
    )
