"""The verb ``sweep`` of the command line, thin: it reads its arguments, runs the members, and prints the table."""

from __future__ import annotations

import argparse
import os

from tlj.distributed import PreemptedError
from tlj.errors import InputError, RunError, unknown_name


def sweep(arguments: argparse.Namespace) -> None:
    """Runs every member of a sweep that is not done."""
    if arguments.workers < 1:
        raise InputError(f"{arguments.workers} workers", where="--workers", do="give 1 or more")
    # Heavy, so that help and mistakes are answered at once.
    from tlj.experiments.backends.local import LocalBackend, accelerators_of
    from tlj.experiments.sweep import run_sweep, tlj_command
    from tlj.experiments.sweep_members import VERBS, read_members
    from tlj.experiments.sweep_results import format_table

    if arguments.members not in VERBS:
        raise unknown_name("verb", arguments.members, VERBS, where="--verb")
    backend = LocalBackend(arguments.workers, accelerators_of(arguments.workers, os.environ))
    short = [f"workdir={arguments.workdir}"] if arguments.workdir is not None else []
    workdir, members = read_members(arguments.config, [*arguments.overrides, *short], arguments.members)
    summary = run_sweep(workdir, members, backend, tlj_command)
    print(f"{format_table(summary)}\nsweep: {workdir}", flush=True)
    counts = summary["counts"]
    failed = [row["folder"] for row in summary["members"] if row["state"] == "failed" or row.get("failed_runs")]
    if failed:
        # After the table, which shows them and what the others reached.
        told = ", ".join(failed[:5]) + (f" and {len(failed) - 5} more" if len(failed) > 5 else "")
        raise RunError(
            f"{len(failed)} of {len(members)} members failed or have runs that did: {told}; see their log.txt"
        )
    if left := counts["stopped"] + counts["not begun"]:
        raise PreemptedError(f"{left} of {len(members)} members were stopped; run the same command again to go on")
