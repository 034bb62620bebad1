"""What the verbs of the command line do, thin: each reads its arguments, calls one function and prints the result.

Everything heavy is imported inside the verb that needs it, so that help and mistakes are answered at once.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from tlj.distributed import check_alike, find_place, is_main, join, watch_for_preemption
from tlj.errors import InputError, RunError
from tlj.evidence.report_verb import print_report
from tlj.named_paths import check_file, check_folder, check_workdir, existing_folder, named_path

# Of the words of a command, those that each process may have for itself, or that are in the config.
_OF_ONE_PROCESS = (
    *("coordinator", "processes", "process", "peer_timeout", "single_process", "no_compile_cache", "json"),
    *("profile", "plots", "compare"),
)
_IN_THE_CONFIG = ("config", "workdir", "data", "overrides", "command")


def _load_config(arguments: argparse.Namespace, *, needs_workdir: bool):
    """Returns the resolved configuration, with a workdir that can be written to where one is needed."""
    from absl import logging

    from tlj import config as configuration

    # Orbax and others report their own inner workings in the middle of the progress lines, and a save that fails, which
    # we tell in one line, on several screens.
    logging.set_verbosity(logging.FATAL)
    short = {"workdir": getattr(arguments, "workdir", None), "data.source": getattr(arguments, "data", None)}
    flags = [f"{key}={value}" for key, value in short.items() if isinstance(value, str)]
    config = configuration.load(arguments.config, [*arguments.overrides, *flags])
    if needs_workdir:
        # A shell leaves the ~ of --workdir=~/runs as it is.
        config.workdir = os.path.expanduser(config.workdir)
        check_workdir(config.workdir, arguments.verb)
    if hasattr(arguments, "single_process") and not getattr(arguments, "input_only", False):
        _meet_the_others(arguments, configuration.flatten(configuration.to_dict(config)))
    # A dry run writes nothing, not even a cache of our own.
    if hasattr(arguments, "no_compile_cache") and (arguments.no_compile_cache or not getattr(arguments, "dry_run", 0)):
        from tlj.compile_cache import keep_compiled, keep_nothing

        keep_nothing() if arguments.no_compile_cache else keep_compiled()
    return config


def _meet_the_others(arguments: argparse.Namespace, keys: Mapping[str, Any]) -> None:
    """Waits for the processes that this one trains with, where there are any, which must do the same."""
    if not arguments.peer_timeout > 0:
        raise InputError(f"{arguments.peer_timeout:g} seconds", where="--peer-timeout", do="give more than 0")
    place = find_place(
        arguments.coordinator, arguments.processes, arguments.process, detect=not arguments.single_process
    )
    if place is not None:
        _keep_the_output()
    join(place, arguments.peer_timeout)
    own = (*_OF_ONE_PROCESS, *_IN_THE_CONFIG)
    flags = {name: value for name, value in vars(arguments).items() if name not in own}
    check_alike(flags | {f"config.{key}": value for key, value in keys.items()}, "give all of them the same command")


def _keep_the_output() -> None:
    """Sends to the error stream what C++ libraries write to standard output, such as Gloo whom it has connected.

    What tlj prints comes where it did, and its last line stays the last.
    """
    with contextlib.suppress(OSError, ValueError):
        ours = os.dup(sys.stdout.fileno())
        os.dup2(sys.stderr.fileno(), 1)
        sys.stdout = os.fdopen(ours, "w", encoding=sys.stdout.encoding, errors=sys.stdout.errors)


def compare(arguments: argparse.Namespace) -> None:
    """Trains every arm and writes the report."""
    config = _load_config(arguments, needs_workdir=True)
    if arguments.dry_run:
        from tlj.experiments.dry_run import dry_run_compare

        return _print_dry_runs(dry_run_compare(config))
    from tlj.experiments.compare import compare

    with watch_for_preemption(config.checkpoint.deadline):
        folder = compare(config, arguments.command)
        failed = print_report(folder).get("failed") if is_main() else None
    if failed:
        # After the report, which shows them: what did not work out is a result, too.
        paths = [row["path"] for row in failed]
        told = ", ".join(paths[:5]) + (f" and {len(paths) - 5} more" if len(paths) > 5 else "")
        raise RunError(
            f"{len(paths)} runs failed twice, and the report shows them: {told}; remove their folders to try again, or "
            "set config.on_nan to skip in another workdir"
        )


def train(arguments: argparse.Namespace) -> None:
    """Trains one run."""
    config = _load_config(arguments, needs_workdir=True)
    if arguments.dry_run:
        from tlj.experiments.dry_run import dry_run_train

        return _print_dry_runs(dry_run_train(config))
    from tlj.experiments.compare import train

    with watch_for_preemption(config.checkpoint.deadline):
        folder = train(config)
    if is_main():
        print(f"run: {folder}", flush=True)


def _print_dry_runs(found: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
    """Prints what each dry run found as soon as it has."""
    from tlj.training.dry_run_text import format_dry_run

    for name, facts in found:
        if is_main():
            print(f"{format_dry_run(name, facts)}\n", flush=True)
    if is_main():
        print("dry run: nothing was written", flush=True)


def _settle_for_the_cpu() -> None:
    """For what computes nothing: an accelerator would be taken from whoever trains on it."""
    import jax

    if "JAX_PLATFORMS" not in os.environ:
        jax.config.update("jax_platforms", "cpu")


def plan(arguments: argparse.Namespace) -> None:
    """Prints what each phase would train, and what that needs and costs on accelerators that are not there."""
    slices = ()
    if arguments.topology is not None:
        from tlj.benchmark.topology.compiler import check_installed
        from tlj.benchmark.topology.slices import parse_slices

        slices = parse_slices(arguments.topology)
        check_installed()
    config = _load_config(arguments, needs_workdir=False)
    _settle_for_the_cpu()
    from tlj.benchmark.plan import format_plan, plan

    planned = plan(config, slices)
    print(json.dumps(planned, indent=2) if arguments.json else format_plan(planned), flush=True)


def find_rate(arguments: argparse.Namespace) -> None:
    """Suggests a learning rate."""
    from tlj.training.rate_curve import RateRange

    rate_range = RateRange(arguments.lowest, arguments.highest, arguments.steps)
    config = _load_config(arguments, needs_workdir=False)
    from tlj.progress import Progress
    from tlj.training.rate_finder import find_rate
    from tlj.training.rate_finder_text import format_rates

    progress = Progress("learning rates", rate_range.steps, unit="step", warms_up=True)
    with progress.shown():
        found = find_rate(config, rate_range, progress.advance)
    if is_main():
        print(json.dumps(found, indent=2) if arguments.json else format_rates(found), flush=True)


def bench(arguments: argparse.Namespace) -> None:
    """Measures the step time of strategies, or what else its flags ask for."""
    from tlj.benchmark.bench_verb import check_words, measure

    check_words(arguments)
    measure(arguments, _load_config(arguments, needs_workdir=False))


def inspect(arguments: argparse.Namespace) -> None:
    """Prints what a checkpoint holds."""
    folder, step = existing_folder(arguments.folder, arguments.verb), _checked_step(arguments.step)
    _settle_for_the_cpu()
    from tlj.training.inspection import inspect_run
    from tlj.training.inspection_text import format_inspection

    contents = inspect_run(folder, step)
    print(json.dumps(contents, indent=2) if arguments.json else format_inspection(contents), flush=True)


def _checked_step(text: str) -> int | str:
    """Returns the checkpoint that ``--step`` names."""
    step = int(text) if text.isdecimal() else text
    if step not in ("latest", "best") and not isinstance(step, int):
        raise InputError(f"no step {step!r}", where="--step", do="give latest, best or a number")
    return step


def _check_data(arguments: argparse.Namespace) -> None:
    """Checks that somebody says which data is meant: the default is an example, and not the user's."""
    named = any(override.startswith("data.source=") for override in arguments.overrides)
    if not (arguments.data or arguments.config or named):
        raise InputError("no data", where=arguments.verb, do="give --data=SOURCE, such as folder:PATH or csv:FILE")


def predict(arguments: argparse.Namespace) -> None:
    """Writes what a model says of labelled data."""
    run, step = existing_folder(arguments.folder, arguments.verb), _checked_step(arguments.step)
    _check_data(arguments)
    config = _load_config(arguments, needs_workdir=False)
    file = named_path(str(arguments.to), "--to")
    check_file(file, "--to")
    if file.exists():
        raise InputError(f"{file} is there already", where="--to", do="give another file")
    from tlj.training.predict import predict

    predicted = predict(run, config.to_dict(), file, part=arguments.split, step=step)
    if arguments.json:
        print(json.dumps(predicted.to_json()))
    else:
        print(predicted)
        print(f"predictions: {file}", flush=True)


def audit(arguments: argparse.Namespace) -> int:
    """Says what is wrong with labelled data."""
    _check_data(arguments)
    config = _load_config(arguments, needs_workdir=False)
    _settle_for_the_cpu()
    directory = named_path(str(arguments.to), "--to")
    check_folder(directory, "--to")
    from tlj.audit.audit import leaks
    from tlj.audit.config import audit_config
    from tlj.audit.files import write_audit
    from tlj.audit.screen import format_audit

    report, source = audit_config(config.to_dict())
    page = write_audit(report, directory, source)
    if arguments.json:
        print(json.dumps(report, indent=2))
    else:
        print(f"{format_audit(report)}\naudit: {page}", flush=True)
    return 1 if arguments.strict and leaks(report) else 0


def export(arguments: argparse.Namespace) -> None:
    """Writes a model for others to use."""
    if arguments.to is None:
        raise InputError("no folder to write to", where="export", do="give --to=DIR, a folder that is new or empty")
    step = _checked_step(arguments.step)
    _settle_for_the_cpu()
    from tlj.pretrained.export.export import check_export, export
    from tlj.pretrained.load import load

    directory = named_path(str(arguments.to), "--to")
    check_export(directory, arguments.format)
    for file in export(load(arguments.folder, step=step), directory, arguments.format):
        print(file)
    print(f"exported: {directory}", flush=True)
