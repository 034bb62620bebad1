"""The TPU compiler, in a process of its own: asked about one step at a time, its noise kept from the user."""

from __future__ import annotations

import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import tlj
from tlj.benchmark.topology.facts import Answer, Facts, TooLarge
from tlj.benchmark.topology.slices import WHERE, Slice
from tlj.errors import InputError, RunError, one_line

# A compiler computes nothing, asks no cloud what it runs on, and need not be the only one on the machine.
_ENVIRONMENT = {"JAX_PLATFORMS": "cpu", "TPU_SKIP_MDS_QUERY": "1", "ALLOW_MULTIPLE_LIBTPU_LOAD": "1"}


def check_installed() -> None:
    """Checks that the TPU compiler is installed.

    Raises:
      InputError: where it is not.
    """
    if importlib.util.find_spec("libtpu") is None:
        raise InputError(
            "the TPU compiler, libtpu, is not installed",
            where=WHERE,
            do='pip install "tlj[tpu]" in an environment of its own: with it every start of JAX looks for a TPU',
        )


class Compiler:
    """Answers questions about training steps; a context that ends the process.

    Args:
      base: what a relative ``model.source`` is relative to.
    """

    def __init__(self, base: pathlib.Path) -> None:
        self._base = str(base)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115, closed at the end of the context
        paths = [str(pathlib.Path(tlj.__file__).parent.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tlj.benchmark.topology.worker"],
            env={**_ENVIRONMENT, **os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            encoding="utf-8",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()
        self._log.close()

    def ask(self, slice_: Slice, config: Mapping[str, Any], phase: int) -> Answer:
        """Returns what the compiler says of the step of a phase on a slice.

        Args:
          slice_: the chips.
          config: of the run, nested, with its batch on these chips.
          phase: number of the phase.

        Raises:
          InputError: for what cannot be done on these chips.
          RunError: where the compiler failed otherwise.
        """
        topology = {"name": slice_.compiler_name, "options": slice_.options}
        question = {"slice": topology, "config": config, "base": self._base, "phase": phase}
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise RunError(f"the TPU compiler ended while it compiled for {slice_.name}: {self._last_words()}")
        return read_answer(json.loads(line), slice_.name)

    def _last_words(self) -> str:
        self._log.seek(0)
        lines = [line.strip() for line in self._log.read().decode(errors="replace").splitlines()]
        return one_line(next((line for line in reversed(lines) if line), "it did not say why"))[:500]


def read_answer(answer: Mapping[str, Any], name: str) -> Answer:
    """Returns the compiler's account from a line of its process, or raises what went wrong there.

    Args:
      answer: see ``tlj.benchmark.topology.worker.answer``.
      name: of the slice.
    """
    if "facts" in answer:
        return Facts(**answer["facts"])
    if "too_large" in answer:
        return TooLarge(**answer["too_large"])
    if "input_error" in answer:
        parts = dict(answer["input_error"])
        raise InputError(f"{parts.pop('what')} (on {name})", **parts)
    raise RunError(f"the TPU compiler could not compile for {name}: {answer['failed']}")
