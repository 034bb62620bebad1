"""Processes that measure one thing and print it as their last line, JSON; what else they print reaches nobody."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import tlj
from tlj.errors import InputError, RunError, one_line

_OURS = "tlj: "


def ask(
    command: Sequence[str],
    *,
    told: Any = None,
    environment: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> dict[str, Any]:
    """Runs a process to its end and returns what its last line says.

    Args:
      command: its words.
      told: JSON for its standard input, where it reads one.
      environment: of the process; None is that of this one.
      timeout: seconds after which it is ended; None waits.

    Raises:
      InputError: where it is a command of tlj that ends with exit code 2.
      RunError: where it fails otherwise, takes too long, or says nothing that is JSON.
    """
    name = next((word for word in command[1:] if not word.startswith("-")), command[0])
    try:
        finished = subprocess.run(
            command, input=json.dumps(told), capture_output=True, text=True, env=environment, timeout=timeout
        )
    except subprocess.TimeoutExpired as error:
        raise RunError(f"{name} took more than {timeout:g} s") from error
    except OSError as error:
        raise RunError(f"{command[0]}: {error.strerror}") from error
    lines = finished.stdout.strip().splitlines()
    if finished.returncode:
        problem = (finished.stderr.strip().splitlines() or lines or ["nothing was printed"])[-1]
        if finished.returncode == 2 and problem.startswith(_OURS):
            raise InputError(problem.removeprefix(_OURS))
        raise RunError(f"{name} ended with {finished.returncode}: {one_line(problem.removeprefix(_OURS))}")
    try:
        answer = json.loads(lines[-1])
    except (IndexError, json.JSONDecodeError) as error:
        raise RunError(f"{name} printed no JSON in its last line") from error
    if not isinstance(answer, dict):
        raise RunError(f"{name} printed no JSON object in its last line")
    return answer


def own_command(module: str) -> list[str]:
    """Returns the first words of a process that runs a module of this very tlj.

    Args:
      module: its whole name.
    """
    return [sys.executable, "-m", module]


def own_environment(**variables: str) -> dict[str, str]:
    """Returns this process's environment, in which this very tlj is found from any folder.

    Args:
      **variables: that are set where nobody has.
    """
    root = str(pathlib.Path(tlj.__file__).parents[1])
    path = os.pathsep.join(part for part in (root, os.environ.get("PYTHONPATH", "")) if part)
    return {**variables, **os.environ, "PYTHONPATH": path}
