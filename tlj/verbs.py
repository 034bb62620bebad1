"""What the verbs of the command line do, thin: each reads its arguments, calls one function and prints the result.

Everything heavy is imported inside the verb that needs it, so that help and mistakes are answered at once.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import pathlib

from tlj.errors import InputError
from tlj.named_paths import check_file, check_folder, check_workdir, existing_folder, named_path


def _load_config(arguments: argparse.Namespace, *, needs_workdir: bool):
    """Returns the resolved configuration, with a workdir that can be written to where one is needed."""
    from absl import logging

    from tlj import config as configuration

    # Orbax and others report their own inner workings as warnings, in the middle of the progress lines.
    logging.set_verbosity(logging.ERROR)
    short = {"workdir": getattr(arguments, "workdir", None), "data.source": getattr(arguments, "data", None)}
    flags = [f"{key}={value}" for key, value in short.items() if isinstance(value, str)]
    config = configuration.load(arguments.config, [*arguments.overrides, *flags])
    if needs_workdir:
        # A shell leaves the ~ of --workdir=~/runs as it is.
        config.workdir = os.path.expanduser(config.workdir)
        check_workdir(config.workdir, arguments.verb)
    return config


def compare(arguments: argparse.Namespace) -> None:
    """Trains every arm and writes the report."""
    config = _load_config(arguments, needs_workdir=True)
    from tlj.experiments.compare import compare

    _print_report(compare(config, arguments.command))


def train(arguments: argparse.Namespace) -> None:
    """Trains one run."""
    config = _load_config(arguments, needs_workdir=True)
    from tlj.experiments.compare import train

    print(f"run: {train(config)}", flush=True)


def report(arguments: argparse.Namespace) -> None:
    """Writes the report of a comparison anew."""
    _print_report(existing_folder(arguments.folder, arguments.verb))


def _print_report(comparison: pathlib.Path) -> None:
    """Writes the report, and prints its first sentence and where it is."""
    from tlj.evidence.report import write_report

    report = write_report(comparison)
    print(json.loads((report.parent / "summary.json").read_text(encoding="utf-8"))["answer"])
    print(f"report: {report}", flush=True)


def _settle_for_the_cpu() -> None:
    """For what computes nothing: an accelerator would be taken from whoever trains on it."""
    import jax

    if "JAX_PLATFORMS" not in os.environ:
        jax.config.update("jax_platforms", "cpu")


def plan(arguments: argparse.Namespace) -> None:
    """Prints what each phase would train."""
    config = _load_config(arguments, needs_workdir=False)
    _settle_for_the_cpu()
    from tlj.benchmark.plan import format_plan, plan

    phases = plan(config)
    print(json.dumps(phases, indent=2) if arguments.json else format_plan(phases), flush=True)


def bench(arguments: argparse.Namespace) -> None:
    """Measures the step time of strategies."""
    config = _load_config(arguments, needs_workdir=False)
    if arguments.json is not None:
        check_file(arguments.json, "--json")
    if arguments.data and not arguments.input_only:
        raise InputError("only input is measured on several data", where="--data", do="add --input-only")
    if arguments.input_only:
        from tlj.benchmark.input import bench_input, format_input

        measured = bench_input(config, arguments.data or [])
        print(format_input(measured), flush=True)
    else:
        from tlj.benchmark.bench import bench, format_bench

        measured = bench(config, arguments.strategies, arguments.windows)
        print(format_bench(measured), flush=True)
    if arguments.json is not None:
        from tlj.training.run_files import write_json

        write_json(arguments.json, measured)


def inspect(arguments: argparse.Namespace) -> None:
    """Prints what a run's checkpoint holds."""
    folder = existing_folder(arguments.folder, arguments.verb)
    from tlj.training.inspection import inspect_run
    from tlj.training.inspection_text import format_inspection

    contents = inspect_run(folder)
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
        print(json.dumps(dataclasses.asdict(predicted)))
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
