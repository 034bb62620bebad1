"""Real processes for tests: several that train together, or one to be killed; see the fixtures in ``conftest.py``."""

import contextlib
import dataclasses
import json
import os
import pathlib
import random
import select
import signal
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).parent.parent


@dataclasses.dataclass
class Ended:
    """How a process ended: its exit code (negative for a signal), and what it wrote."""

    code: int
    stdout: str
    stderr: str


class Started:
    """A process that runs."""

    def __init__(self, server, process_id, stdout, stderr):
        self._server, self.id, self._files = server, process_id, (stdout, stderr)

    def kill(self, number=signal.SIGKILL):
        """Sends a signal, unless the process has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.id, number)

    def is_running(self):
        return not self._server.has_ended(self.id)

    def written(self):
        """What it wrote so far, standard output and error after another."""
        return "".join(file.read_text() for file in self._files)

    def wait_until(self, condition, timeout=60):
        """Waits until ``condition()`` is true, and fails where the process ends before."""
        deadline = time.monotonic() + timeout
        while not condition():
            if not self.is_running() and not condition():
                raise AssertionError(f"ended before it got there\n{self.written()}")
            if time.monotonic() > deadline:
                raise AssertionError(f"not there after {timeout} s\n{self.written()}")
            time.sleep(0.01)

    def wait(self, timeout=120):
        """Waits for the end; a process that takes longer is killed, and the test fails."""
        code = self._server.wait(self.id, timeout)
        if code is None:
            self.kill()
            raise AssertionError(f"still running after {timeout} s\n{self.written()}")
        return Ended(code, *(file.read_text() for file in self._files))


class Processes:
    """Starts processes in a fraction of a second each."""

    def __init__(self, folder):
        self._folder, self._count, self._codes, self._text = folder, 0, {}, b""
        command = [sys.executable, str(ROOT / "tests" / "process_server.py")]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._server = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, env=environment
        )

    def folder(self):
        """Returns a new folder, for what processes leave."""
        self._count += 1
        folder = self._folder / str(self._count)
        folder.mkdir()
        return folder

    def close(self):
        """Ends all that still run."""
        self._server.stdin.close()
        self._server.wait(30)
        self._server.stdout.close()

    def start(self, *, tlj=None, script=None, arguments=(), devices=1, folder=None, environment=None):
        """Starts ``tlj WORDS``, or a script, given as its text or as a path.

        Args:
          tlj: words of the command line.
          script: a path, or the text of a program.
          arguments: of the script.
          devices: CPU devices.
          folder: to run in; by default the root of the project.
          environment: variables in addition.
        """
        self._count += 1
        prefix = self._folder / str(self._count)
        request = {"stdout": f"{prefix}.out", "stderr": f"{prefix}.err", "folder": str(folder or ROOT)}
        if tlj is not None:
            request["tlj"] = [str(word) for word in tlj]
        else:
            if not isinstance(script, pathlib.Path):
                text, script = script, prefix.with_suffix(".py")
                script.write_text(text)
            request |= {"script": str(script), "arguments": [str(argument) for argument in arguments]}
        ours = {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(devices)}
        if devices > 1:
            # Devices that wait for each other each hold a thread, and XLA has as many as there are cores, or NPROC.
            ours["NPROC"] = "32"
        request["environment"] = {**os.environ, **ours, **(environment or {})}
        for stream in ("stdout", "stderr"):
            # A process that is killed at once has written nothing.
            pathlib.Path(request[stream]).touch()
        self._server.stdin.write(json.dumps(request).encode() + b"\n")
        self._server.stdin.flush()
        while "started" not in (answer := self._answer(60)):
            assert answer, "no process after a minute"
        return Started(self, answer["started"], pathlib.Path(request["stdout"]), pathlib.Path(request["stderr"]))

    def together(self, count, *, tlj=None, script=None, arguments=(), devices=1, timeout=120, **options):
        """Runs several processes that train together to their ends, and returns how each ended.

        The words of ``tlj`` get the flags that say which process is which; a script gets as its first arguments
        ``HOST:PORT``, how many there are, and which it is.
        """
        started = self.start_together(count, tlj=tlj, script=script, arguments=arguments, devices=devices, **options)
        try:
            deadline = time.monotonic() + timeout
            return [process.wait(max(deadline - time.monotonic(), 0.1)) for process in started]
        finally:
            for process in started:
                process.kill()

    def start_together(self, count, *, tlj=None, script=None, arguments=(), **options):
        """Starts several processes that train together; see ``together``."""
        coordinator, started = f"localhost:{free_port()}", []
        for index in range(count):
            if tlj is not None:
                place = [f"--coordinator={coordinator}", f"--processes={count}", f"--process={index}"]
                started.append(self.start(tlj=[*tlj, *place], **options))
            else:
                started.append(self.start(script=script, arguments=[coordinator, count, index, *arguments], **options))
        return started

    def has_ended(self, process_id):
        while self._answer(0):
            pass
        return process_id in self._codes

    def wait(self, process_id, timeout):
        deadline = time.monotonic() + timeout
        while process_id not in self._codes and (left := deadline - time.monotonic()) > 0:
            self._answer(left)
        return self._codes.get(process_id)

    def _answer(self, timeout):
        """Takes one answer of the server, or none in that time."""
        while b"\n" not in self._text:
            ready, _, _ = select.select([self._server.stdout], [], [], timeout)
            if not ready:
                return {}
            heard = os.read(self._server.stdout.fileno(), 65536)
            assert heard, "the server of processes has ended"
            self._text += heard
        line, _, self._text = self._text.partition(b"\n")
        answer = json.loads(line)
        if "ended" in answer:
            self._codes[answer["ended"]] = answer["code"]
        return answer


def free_port():
    """Returns a port that nobody listens on, below those that the system gives to outgoing connections."""
    while True:
        port = random.randrange(20000, 32000)
        with contextlib.suppress(OSError), socket.create_server(("", port)):
            return port
