"""Bad input: one clear line, raised where the input enters, before any work begins."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(Exception):
    """Something the user wrote cannot be used. The command line prints it and exits with 2.

    The line has four parts: what is wrong, where, the nearest valid thing, and what to do.

    Args:
      what: what is wrong, for example ``"unknown strategy 'linear_prob'"``.
      where: the key, file or argument that held it, for example ``"config.arms[1]"``.
      nearest: the nearest valid name, or None where there is none.
      do: what to do about it, for example ``"use one of full, linear_probe"``.
    """

    def __init__(self, what: str, *, where: str = "", nearest: str | None = None, do: str = ""):
        self.what, self.where, self.nearest, self.do = what, where, nearest, do
        where = one_line(where)
        parts = [f"{where}: {what}" if where else what]
        if nearest:
            parts.append(f"did you mean {nearest!r}?")
        if do:
            parts.append(do)
        # What a library says may have several lines; in a name a new line is a part of it.
        super().__init__(one_line("; ".join(parts).replace("\n", " ")))


def one_line(text: str) -> str:
    """Returns a text with every character that is not printable spelt out: file names may hold any but ``/``."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def nearest_name(name: str, valid: Iterable[str]) -> str | None:
    """Returns the valid name closest in spelling to ``name``, or None where nothing is close."""
    matches = difflib.get_close_matches(str(name), [str(v) for v in valid], n=1, cutoff=0.5)
    return matches[0] if matches else None


def unknown_name(kind: str, name: str, valid: Iterable[str], *, where: str = "") -> InputError:
    """Builds the error for a name that is not in a registry.

    Args:
      kind: what was being named, for example ``"strategy"``.
      name: the name that was given.
      valid: the names that would have been right.
      where: the key, file or argument that held the name.

    Returns:
      The error, to be raised by the caller.
    """
    valid = sorted(str(v) for v in valid)
    return InputError(
        f"unknown {kind} {name!r}", where=where, nearest=nearest_name(name, valid), do=f"use one of {', '.join(valid)}"
    )


class RunError(RuntimeError):
    """A run cannot go on for a reason that is not its input; the message is one line that says what to do."""
