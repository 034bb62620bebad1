"""A connection to another process that carries messages, each a line of JSON."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Mapping
from typing import Any

_LONGEST = 1 << 26
# A machine that lost its power closes nothing: after these seconds of silence it is asked, and given up after three.
_SILENCE = {"TCP_KEEPIDLE": 20, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}


class Wire:
    """One end of a connection.

    Args:
      connection: a TCP connection; it is closed by ``close``.
    """

    def __init__(self, connection: socket.socket):
        self.connection = connection
        self._lines = connection.makefile("rb")
        self._speaking = threading.Lock()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _SILENCE.items():
            if hasattr(socket, name):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def say(self, message: Mapping[str, Any]) -> None:
        """Sends a message; one to somebody who has gone is lost, for whoever hears at this end learns of that."""
        with self._speaking, contextlib.suppress(OSError):
            self.connection.sendall(json.dumps(message).encode() + b"\n")

    def hear(self) -> dict[str, Any] | None:
        """Waits for a message and returns it, or None where the other end is closed or says anything else.

        Raises:
          TimeoutError: none came in the time that is set on the connection.
        """
        try:
            line = self._lines.readline(_LONGEST)
        except (OSError, ValueError) as error:
            # A time that ran out has no number, unlike a connection that no longer answers.
            if isinstance(error, TimeoutError) and error.errno is None:
                raise
            return None
        return message_of(line) or None

    def close(self) -> None:
        """Closes this end."""
        # A thread that waits in `hear` holds the reader, and only a shutdown ends that.
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        self.connection.close()


def message_of(line: bytes) -> dict[str, Any]:
    """Returns the message in a line, empty where it holds none."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return message if isinstance(message, dict) else {}
