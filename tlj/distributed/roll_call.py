"""The roll call: process 0 waits at the coordinator's address until every other process has said which one it is.

JAX waits for its peers too, but where one does not come its C++ client aborts the process with a stack dump that does
not say who is missing. So everybody is brought together here first, in Python, and the connections stay open: when a
process dies, the kernel closes its end and the others know at once.
"""

from __future__ import annotations

import dataclasses
import errno
import selectors
import socket
import time

from tlj.distributed.place import Place
from tlj.distributed.wire import Wire, message_of
from tlj.errors import InputError, RunError

_GREETING = "tlj roll call 1"
_LONGEST = 65536


def assemble(place: Place, timeout: float) -> dict[int, Wire]:
    """Waits until all processes are there, and returns the connections of this one by the process at the other end.

    Process 0 has one to every other process, and every other process one to process 0.

    Args:
      place: of this process.
      timeout: in seconds.

    Raises:
      InputError: the port is taken, or two processes were told what cannot both be right.
      RunError: somebody did not come in time; the message says who.
    """
    deadline = time.monotonic() + timeout
    return _call_roll(place, timeout, deadline) if place.process == 0 else _answer(place, timeout, deadline)


@dataclasses.dataclass
class _Caller:
    """Somebody who has connected, and what came from there so far."""

    wire: Wire
    text: bytes = b""
    process: int | None = None


def _call_roll(place: Place, timeout: float, deadline: float) -> dict[int, Wire]:
    server = _listen(place.address[1])
    callers: dict[int, _Caller] = {}
    with server, selectors.DefaultSelector() as selector:
        selector.register(server, selectors.EVENT_READ)
        while len(callers) < place.processes - 1:
            left = deadline - time.monotonic()
            ready = selector.select(max(left, 0))
            missing = sorted(set(range(1, place.processes)) - set(callers))
            if left <= 0 and not ready:
                for caller in callers.values():
                    caller.wire.say({"missing": missing, "over": True})
                raise _missing_error(place, timeout, missing)
            for key, _ in ready:
                if key.data is None:
                    connection, _ = server.accept()
                    connection.setblocking(False)
                    selector.register(connection, selectors.EVENT_READ, _Caller(Wire(connection)))
                else:
                    _hear(key.data, callers, selector, place.processes)
    for caller in callers.values():
        caller.wire.connection.setblocking(True)
        caller.wire.say({"go": True})
    return {process: caller.wire for process, caller in callers.items()}


def _hear(caller: _Caller, callers: dict[int, _Caller], selector: selectors.BaseSelector, processes: int) -> None:
    """Takes in what a caller said, and tells everybody when it changes who is missing."""
    try:
        heard = caller.wire.connection.recv(_LONGEST)
    except OSError:
        heard = b""
    caller.text += heard
    said = _hello(caller.text)
    refusal = None
    if said is not None and caller.process is None:
        process, its_processes = said
        if its_processes != processes:
            refusal = f"process 0 was told of {processes} processes, and process {process} of {its_processes}"
        elif process in callers or not 0 < process < processes:
            refusal = f"there are two of process {process}"
        else:
            caller.process = process
            callers[process] = caller
    # Whoever says anything else is no process of tlj, and the roll call goes on without.
    if not heard or refusal or (said is None and (b"\n" in caller.text or len(caller.text) > _LONGEST)):
        if refusal:
            caller.wire.say({"refused": refusal})
        selector.unregister(caller.wire.connection)
        caller.wire.close()
        if caller.process is not None:
            del callers[caller.process]
    missing = sorted(set(range(1, processes)) - set(callers))
    for there in callers.values():
        there.wire.say({"missing": missing})


def _hello(text: bytes) -> tuple[int, int] | None:
    """Returns the number of a process and how many it was told of, or None where the text is no greeting."""
    line, end, _ = text.partition(b"\n")
    said = message_of(line) if end else {}
    process, processes = said.get("process"), said.get("processes")
    if said.get("tlj") == _GREETING and type(process) is type(processes) is int:
        return process, processes
    return None


def _answer(place: Place, timeout: float, deadline: float) -> dict[int, Wire]:
    missing = [0]
    pause = 0.05
    while (left := deadline - time.monotonic()) > 0:
        wire = None
        try:
            wire = Wire(socket.create_connection(place.address, timeout=left))
            wire.say({"tlj": _GREETING, "process": place.process, "processes": place.processes})
            # Process 0 says in the end who is missing, so its end is waited for.
            while (left := deadline + 1 - time.monotonic()) > 0:
                wire.connection.settimeout(left)
                said = wire.hear()
                if said is None:
                    break
                missing = said.get("missing", missing)
                if "refused" in said:
                    raise InputError(str(said["refused"]), where="--process", do="give every process its own number")
                if "over" in said:
                    raise _missing_error(place, timeout, missing)
                if "go" in said:
                    wire.connection.settimeout(None)
                    joined, wire = wire, None
                    return {0: joined}
        except OSError:
            # Process 0 may not have started yet, nor the name of its machine be known.
            pass
        finally:
            if wire is not None:
                wire.close()
        if deadline - time.monotonic() > 0:
            missing = [0]
            time.sleep(min(pause, left))
            pause = min(2 * pause, 1.0)
    raise _missing_error(place, timeout, missing)


def _missing_error(place: Place, timeout: float, missing: list[int]) -> RunError:
    which = f"process{'es' if len(missing) > 1 else ''} {', '.join(str(process) for process in missing)}"
    do = "start every process, or --single-process to train in this one alone; --peer-timeout sets the time"
    if missing == [0]:
        what = f"process 0 of {place.processes} did not answer at {place.coordinator} within {timeout:g} s"
    else:
        what = f"{which} of {place.processes} did not come to {place.coordinator} within {timeout:g} s"
    return RunError(f"{what}; {do}")


def _listen(port: int) -> socket.socket:
    """Returns a socket on which everybody can be heard, over IPv4 and, where there is one, IPv6."""
    dual = socket.has_dualstack_ipv6()
    try:
        family = socket.AF_INET6 if dual else socket.AF_INET
        server = socket.create_server(("", port), family=family, dualstack_ipv6=dual, backlog=1024)
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        why = "is taken on this machine" if error.errno == errno.EADDRINUSE else "may not be opened"
        raise InputError(
            f"port {port} {why}", where="--coordinator", do="give another port, to all processes alike"
        ) from error
    server.setblocking(False)
    return server
