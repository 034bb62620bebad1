"""A sweep: a backend runs every member that is not done; one that fails is tried once more, and the others go on."""

from __future__ import annotations

import collections
import contextlib
import os
import pathlib
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tlj.distributed import SAVED_AND_STOPPED, PreemptedError
from tlj.errors import InputError
from tlj.experiments.backends.backend import Backend, Ended, Job
from tlj.experiments.sweep_members import Member
from tlj.experiments.sweep_results import FAILURE, format_table, is_done, summarise
from tlj.progress import Progress, say
from tlj.training.run_files import write_json
from tlj.training.run_lock import run_lock

ATTEMPTS = 2
_BAD_INPUT = 2
_LAST_LINES = 20
_SECONDS_BETWEEN_LOOKS, _SECONDS_BETWEEN_LOCKS = 0.2, 5.0


def tlj_command(member: Member) -> tuple[str, ...]:
    """Returns the command that runs a member in another process of this Python."""
    return (sys.executable, "-m", "tlj", *member.words)


def run_sweep(
    workdir: pathlib.Path,
    members: Sequence[Member],
    backend: Backend,
    command: Callable[[Member], tuple[str, ...]],
) -> dict[str, Any]:
    """Runs every member that is not done, and writes ``sweep.json``, ``summary.json`` and ``table.md``.

    Args:
      workdir: of the sweep.
      members: in its order.
      backend: that runs them.
      command: what it is to run for a member, such as ``tlj_command``.

    Returns:
      The content of ``summary.json``.

    Raises:
      InputError: where another sweep is at work in the workdir, or it holds a run or a comparison.
      KeyboardInterrupt: where Ctrl-C stopped it, after every member has stopped.
      PreemptedError: where SIGTERM stopped it, after every member has stopped.
    """
    for name, what in (("comparison.json", "a comparison"), ("manifest.json", "a run")):
        if (workdir / name).exists():
            raise InputError(f"{what}, not a sweep", where=str(workdir), do="give another --workdir")
    verb = members[0].verb
    with run_lock(workdir):
        write_json(workdir / "sweep.json", {"verb": verb, "members": [_declared(member) for member in members]})
        missing = [member for member in members if not is_done(member)]
        if not missing:
            say(f"tlj: nothing to do: all {len(members)} members are done")
        try:
            if missing:
                done = len(members) - len(missing)
                say(f"tlj: {done} of {len(members)} members are done; the others log to {workdir}/members/*/log.txt")
                _Course(missing, backend, command).run()
        finally:
            summary = summarise(verb, members)
            write_json(workdir / "summary.json", summary)
            (workdir / "table.md").write_text(format_table(summary), encoding="utf-8")
    return summary


def _declared(member: Member) -> dict[str, Any]:
    return {
        "overrides": member.overrides,
        "hash": member.hash,
        "folder": f"members/{member.hash}",
        "verb": member.verb,
        "command": shlex.join(["tlj", *member.words]),
    }


class _Course:
    """The members of a sweep that are under way."""

    def __init__(self, members: Sequence[Member], backend: Backend, command: Callable[[Member], tuple[str, ...]]):
        self._members: Mapping[str, Member] = {member.hash: member for member in members}
        self._backend, self._command = backend, command
        self._attempts: collections.Counter[str] = collections.Counter()
        self._pending = dict.fromkeys(self._members)
        # Members that a process left behind by a sweep that was killed still trains, and since when they wait for it.
        self._held: dict[str, float] = {}
        self._stopping = False
        self._progress = Progress(f"{len(members)} members", len(members))

    def run(self) -> None:
        """Runs all of them to their ends."""
        try:
            with _signals() as received, self._progress.shown():
                for member in self._members.values():
                    self._begin(member)
                told = 0
                while self._pending:
                    if len(received) > told:
                        told = len(received)
                        # A scheduler may repeat its notice; only a user who insists has no time for them to save.
                        self._stop(kill=received.count(signal.SIGINT) > 1)
                    self._try_held()
                    for ended in self._backend.wait(_SECONDS_BETWEEN_LOOKS):
                        self._judge(self._members[ended.name], ended)
        except BaseException:
            # Nothing that goes wrong here leaves processes behind.
            self._backend.cancel(kill=True)
            raise
        if not self._stopping or all(is_done(member) for member in self._members.values()):
            return
        if received[0] == signal.SIGINT:
            raise KeyboardInterrupt
        raise PreemptedError("stopped by SIGTERM; run the same command again to go on")

    def _begin(self, member: Member) -> None:
        member.folder.mkdir(parents=True, exist_ok=True)
        temporary = member.file.with_name(f"{member.file.name}.tmp")
        temporary.write_text(member.file_text, encoding="utf-8")
        os.replace(temporary, member.file)
        (member.folder / FAILURE).unlink(missing_ok=True)
        self._attempts[member.hash] += 1
        self._backend.submit(Job(member.hash, self._command(member), pathlib.Path.cwd(), member.log))

    def _judge(self, member: Member, ended: Ended) -> None:
        """Says what becomes of a member that ended: done, tried again, waited for, failed or stopped."""
        if is_done(member):
            self._settle(member)
        elif ended.code in (None, SAVED_AND_STOPPED) or self._stopping:
            if not self._stopping:
                say(f"tlj: {member.folder} ({member.about}): stopped, exit code {ended.code}")
            del self._pending[member.hash]
        elif ended.code == _BAD_INPUT and _is_held(member.folder):
            self._attempts[member.hash] -= 1
            self._held[member.hash] = time.monotonic()
            say(f"tlj: {member.folder}: another process trains it; it is waited for")
        elif ended.code != _BAD_INPUT and self._attempts[member.hash] < ATTEMPTS:
            say(f"tlj: {member.folder} ({member.about}): {_told(ended.code)}; it is tried once more")
            self._begin(member)
        else:
            self._fail(member, ended.code)

    def _fail(self, member: Member, code: int | None) -> None:
        lines = member.log.read_text(encoding="utf-8", errors="replace").splitlines() if member.log.exists() else []
        content = {"attempts": self._attempts[member.hash], "exit_code": code, "last_lines": lines[-_LAST_LINES:]}
        write_json(member.folder / FAILURE, content)
        last = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
        say(f"tlj: {member.folder} ({member.about}): failed, {_told(code)}: {last}")
        self._settle(member, " failed")

    def _settle(self, member: Member, what: str = "") -> None:
        del self._pending[member.hash]
        self._progress.advance(last=f"{member.about}{what}")

    def _stop(self, *, kill: bool) -> None:
        if not self._stopping:
            say("tlj: the members that run are told to save and stop; a second Ctrl-C ends them at once")
        self._stopping = True
        self._backend.cancel(kill=kill)
        for name in self._held:
            del self._pending[name]
        self._held.clear()

    def _try_held(self) -> None:
        for name, since in list(self._held.items()):
            if time.monotonic() - since < _SECONDS_BETWEEN_LOCKS:
                continue
            self._held[name] = time.monotonic()
            member = self._members[name]
            if _is_held(member.folder):
                continue
            del self._held[name]
            self._settle(member) if is_done(member) else self._begin(member)


def _told(code: int | None) -> str:
    if code is not None and code < 0:
        return f"ended by signal {-code}"
    return "it ended well and is not done" if code == 0 else f"exit code {code}"


def _is_held(folder: pathlib.Path) -> bool:
    """Whether another process is at work in a folder."""
    try:
        with run_lock(folder):
            return False
    except InputError:
        return True


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """Collects the signals that ask to stop, those apart that are ignored, as under nohup; of the main thread only."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    wanted = [s for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(s) is not signal.SIG_IGN]
    before = {s: signal.signal(s, lambda number, frame: received.append(number)) for s in wanted}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
