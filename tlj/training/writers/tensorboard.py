"""Event files for TensorBoard, written without TensorFlow.

A start writes one new file from the rows that ``metrics.jsonl`` holds then and removes the files before it, so that no
reader finds a step twice, or one beyond what the run went on from, whichever way it deals with restarts.
"""

from __future__ import annotations

import os
import pathlib
import struct
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tlj.training.writers.scalars import scalars

if TYPE_CHECKING:
    from tensorboardX.proto.event_pb2 import Event

FOLDER, PREFIX = "tensorboard", "events.out.tfevents."
_LENGTH, _CHECKSUM = struct.Struct("<Q"), struct.Struct("<I")


class TensorboardWriter:
    """Writes rows as scalars to one event file.

    The library's own ``SummaryWriter`` hands events to a thread and waits for it; where the disk is full that thread
    has ended, and the run would hang. Here a write fails where it is made.

    Args:
      directory: of the run; files go to ``tensorboard/`` in it.
      rows: that the run has written so far, to be shown again.

    Raises:
      OSError: if the file cannot be written.
    """

    name = "TensorBoard event files"

    def __init__(self, directory: pathlib.Path, rows: Sequence[Mapping[str, Any]]):
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        folder = directory / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        before = sorted(folder.glob(f"{PREFIX}*"))
        times = _wall_times(before)
        now = min(times.values(), default=time.time())
        # A TensorBoard that watches the folder drops what it has read of the file before when it comes to this start.
        start = SessionLog(status=SessionLog.START)
        events = [Event(wall_time=now, file_version="brain.Event:2"), Event(wall_time=now, session_log=start)]
        for row in rows:
            now = times.get(row["step"], now)
            events.append(_event(row, now))
        temporary = folder / "rewritten.tmp"
        self._file = temporary.open("wb")
        self._write(events)
        os.replace(temporary, folder / _name_after(before))
        for path in before:
            path.unlink()

    def write(self, row: Mapping[str, Any]) -> None:
        """Appends the numbers of a row and hands them to the operating system, so that a kill keeps them."""
        self._write([_event(row, time.time())])

    def _write(self, events: Iterable[Event]) -> None:
        self._file.write(b"".join(_record(event.SerializeToString()) for event in events))
        self._file.flush()

    def close(self, failed: bool) -> None:
        """Closes the file.

        Args:
          failed: whether the run ends before its end; the files are the same.
        """
        self._file.close()


def _event(row: Mapping[str, Any], wall_time: float) -> Event:
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.summary_pb2 import Summary

    values = [Summary.Value(tag=name, simple_value=value) for name, value in scalars(row).items()]
    return Event(wall_time=wall_time, step=row["step"], summary=Summary(value=values))


def _name_after(before: Sequence[pathlib.Path]) -> str:
    """A name that sorts after those before, which is the order that readers take files in."""
    seconds = [path.name.removeprefix(PREFIX).split(".")[0] for path in before]
    latest = max((int(text) for text in seconds if text.isdecimal()), default=0)
    return f"{PREFIX}{max(int(time.time()), latest + 1):010d}.tlj"


def _record(data: bytes) -> bytes:
    """Frames an event as a TFRecord: length, its checksum, data, its checksum."""
    from tensorboardX.record_writer import masked_crc32c

    length = _LENGTH.pack(len(data))
    return b"".join([length, _CHECKSUM.pack(masked_crc32c(length)), data, _CHECKSUM.pack(masked_crc32c(data))])


def _wall_times(paths: Iterable[pathlib.Path]) -> dict[int, float]:
    """When each step was written, as far as the files are whole: a restart keeps the time axis as it was."""
    from google.protobuf.message import DecodeError
    from tensorboardX.proto.event_pb2 import Event

    times: dict[int, float] = {}
    for path in paths:
        content, offset = path.read_bytes(), 0
        while len(content) >= offset + 12:
            (length,) = _LENGTH.unpack_from(content, offset)
            data = content[offset + 12 : offset + 12 + length]
            offset += length + 16
            try:
                event = Event.FromString(data)
            except DecodeError:
                break
            if offset <= len(content) and event.HasField("summary"):
                times.setdefault(event.step, event.wall_time)
    return times
