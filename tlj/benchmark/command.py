"""What the measuring commands share that are no verbs of ``tlj``: words read in one way, and errors of one line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from tlj.errors import InputError, RunError


class Words(argparse.ArgumentParser):
    """The words of a command, whose mistakes are one line; beside its flags it takes ``--config.a.b=value``."""

    def error(self, message: str) -> None:
        """Raises the error that the command ends with."""
        raise InputError(message, where=self.prog, do=f"see `{self.prog} --help`")

    def take(self, argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
        """Returns the flags, and the overrides of the configuration as ``a.b=value``.

        Args:
          argv: the words after the command.

        Raises:
          InputError: for a word that is neither.
        """
        arguments, rest = self.parse_known_args(argv)
        for word in rest:
            if not (word.startswith("--config.") and "=" in word):
                raise InputError(f"unexpected word {word!r}", where=self.prog, do=f"see `{self.prog} --help`")
        return arguments, [word.removeprefix("--config.") for word in rest]


def command(name: str, description: str) -> Words:
    """Returns the words of ``python -m NAME``, yet without flags.

    Args:
      name: of the module.
      description: what it does; the text of ``--help``.
    """
    layout = argparse.RawDescriptionHelpFormatter
    return Words(f"python -m {name}", description=description, formatter_class=layout, allow_abbrev=False)


def exit_code(run: Callable[[Sequence[str]], None]) -> int:
    """Runs a command on the words of this process, and returns its exit code: 0 done, 2 bad input, 1 anything else.

    Args:
      run: the command.
    """
    try:
        run(sys.argv[1:])
    except (InputError, RunError) as error:
        print(f"tlj: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    except KeyboardInterrupt:
        print("tlj: stopped", file=sys.stderr)
        return 1
    return 0
