"""What ``tlj report`` does, thin, and how a comparison's report is told on the screen."""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import pathlib
from collections.abc import Iterator
from typing import Any

from tlj.errors import InputError, RunError
from tlj.named_paths import existing_folder


def report(arguments: argparse.Namespace) -> None:
    """Writes the report of a comparison anew, and one across several where others are named."""
    folder = existing_folder(arguments.folder, arguments.verb)
    others = [existing_folder(pathlib.Path(name), arguments.verb) for name in filter(None, arguments.across.split(","))]
    _check_others(folder, others)
    print_report(folder, arguments.prices)
    if others:
        from tlj.evidence.report import write_across

        with _full_disk_told(folder):
            across = write_across([folder, *others], folder)
        print(f"across: {across}", flush=True)


def _check_others(folder: pathlib.Path, others: list[pathlib.Path]) -> None:
    """Checks, before the first report, that each is a comparison, and none named twice: it would count as two."""
    resolved = [each.resolve() for each in (folder, *others)]
    for i, other in enumerate(others, start=1):
        if resolved[i] in resolved[:i]:
            raise InputError(f"{other} stands twice", where="--across", do="name each comparison once, DIR not at all")
        if not (other / "comparison.json").is_file():
            what = f"{other} is not a comparison: it holds no comparison.json"
            raise InputError(what, where="--across", do="give the --workdir of a `tlj compare`")


def print_report(comparison: pathlib.Path, prices: pathlib.Path | None = None) -> dict[str, Any]:
    """Writes the report, prints its first sentence and where it is, and returns its summary.

    Args:
      comparison: its directory.
      prices: a file of prices, or None for that of the directory.
    """
    from tlj.evidence.report import write_report

    with _full_disk_told(comparison):
        page = write_report(comparison, prices) if prices else write_report(comparison)
    summary = json.loads((page.parent / "summary.json").read_text(encoding="utf-8"))
    print(summary["answer"])
    print(f"report: {page}", flush=True)
    return summary


@contextlib.contextmanager
def _full_disk_told(directory: pathlib.Path) -> Iterator[None]:
    """Tells in one line of a disk that is full; the files of an earlier report are as they were."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise RunError(f"{directory}: no space left on the disk; make room, and run `tlj report` again") from error
