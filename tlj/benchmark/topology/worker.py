"""A process of its own that holds the TPU compiler: questions come in as lines of JSON, and answers go out so.

The compiler writes to both output streams when it starts; they are whoever's started this, and answers have their own.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from tlj.errors import InputError, one_line


def main() -> None:
    """Answers until there are no more questions."""
    with _own_output() as answers:
        from absl import logging

        logging.set_verbosity(logging.FATAL)
        for line in sys.stdin:
            answers.write(json.dumps(answer(json.loads(line))) + "\n")
            answers.flush()


@contextlib.contextmanager
def _own_output() -> Iterator[TextIO]:
    """Standard output for answers alone; what libraries write there goes to the error stream."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)
        yield answers


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """Returns what the compiler says of a step, or why it says nothing.

    Args:
      question: ``slice`` (``name``, ``options``), ``config`` (of the run), ``base`` and ``phase`` (its number).

    Returns:
      ``facts``, ``too_large``, ``input_error`` (the arguments of one) or ``failed`` (a line).
    """
    from tlj.benchmark.topology.compiled_step import compile_step, set_up_for
    from tlj.benchmark.topology.facts import TooLarge

    try:
        setup = set_up_for(question["slice"], question["config"], pathlib.Path(question["base"]))
        found = compile_step(setup, setup.phases[question["phase"]])
    except InputError as error:
        parts = {"what": error.what, "where": error.where, "nearest": error.nearest, "do": error.do}
        return {"input_error": parts}
    except Exception as error:
        # Whatever it is, the user gets a line: of a library's failure, where it stopped means nothing to them.
        return {"failed": one_line(f"{type(error).__name__}: {error}".partition("\n")[0])[:500]}
    return {"too_large" if isinstance(found, TooLarge) else "facts": dataclasses.asdict(found)}


if __name__ == "__main__":
    main()
