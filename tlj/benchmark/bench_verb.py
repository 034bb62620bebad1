"""The verb ``bench`` of the command line, thin: which measurement its flags ask for, and what becomes of it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tlj.distributed import is_main
from tlj.errors import InputError
from tlj.named_paths import check_file, check_folder, named_path

if TYPE_CHECKING:
    from ml_collections import ConfigDict

# Flags that ask for another measurement than that of steps, and those that say something about steps.
_OTHERS = ("input_only", "overhead", "checkpoint")
_OF_STEPS = ("batches", "scaling", "profile", "plots", "compare")


def check_words(arguments: argparse.Namespace) -> None:
    """Checks the flags beside each other and the places that they name, whose ``~`` becomes the home folder.

    Raises:
      InputError: for flags that say nothing together, or a place that cannot be written to.
    """
    if arguments.json is not None:
        check_file(arguments.json, "--json")
    if arguments.data and not arguments.input_only:
        raise InputError("only input is measured on several data", where="--data", do="add --input-only")
    other = next((name for name in _OTHERS if getattr(arguments, name)), None)
    of_steps = next((name for name in _OF_STEPS if getattr(arguments, name) is not None), None)
    if other and of_steps:
        what = f"--{other.replace('_', '-')} measures no steps of strategies"
        raise InputError(what, where=f"--{of_steps}", do="leave one of the two out")
    if arguments.scaling is not None:
        for name in ("batches", "profile"):
            if getattr(arguments, name) is not None:
                what = "--scaling gives every device the batch of the config, in processes of its own"
                raise InputError(what, where=f"--{name}", do="leave one of the two out")
    for name in ("profile", "plots", "compare"):
        if getattr(arguments, name) is not None:
            setattr(arguments, name, named_path(str(getattr(arguments, name)), f"--{name}"))
    if arguments.plots is not None:
        check_folder(arguments.plots, "--plots")


def measure(arguments: argparse.Namespace, config: ConfigDict) -> None:
    """Measures what the flags ask for, prints it, and writes it where they say."""
    if arguments.input_only:
        from tlj.benchmark.input import bench_input, format_input

        measured = bench_input(config, arguments.data or [])
        print(format_input(measured), flush=True)
    elif arguments.overhead or arguments.checkpoint:
        measured = _bench_loop(arguments, config)
    else:
        measured = _bench_steps(arguments, config)
    if arguments.json is not None and is_main():
        from tlj.training.run_files import write_json

        write_json(arguments.json, measured)


def _bench_loop(arguments: argparse.Namespace, config: ConfigDict) -> dict[str, Any]:
    """Measures what is asked for of the loop, and prints it."""
    from tlj.benchmark.overhead import checkpoint_time, format_checkpoint_time, format_overhead, measure_overhead

    measured = {}
    if arguments.overhead:
        measured["overhead"] = measure_overhead(config, arguments.windows)
        print(format_overhead(measured["overhead"]), flush=True)
    if arguments.checkpoint:
        measured["checkpoint"] = checkpoint_time(config)
        print(format_checkpoint_time(measured["checkpoint"]), flush=True)
    return measured


def _bench_steps(arguments: argparse.Namespace, config: ConfigDict) -> Mapping[str, Any]:
    """Measures steps, and tells what is asked for about them."""
    from tlj.benchmark.bench import bench, format_bench

    earlier = None
    if arguments.compare is not None:
        from tlj.benchmark.bench.comparison import read_bench

        earlier = read_bench(arguments.compare, "--compare")
    if arguments.profile is not None:
        from tlj.benchmark.bench.traces import check_traces

        check_traces(arguments.profile)
    if arguments.scaling is not None:
        measured = _bench_scaling(arguments, config)
    else:
        numbers = _batches(arguments)
        measured = bench(config, arguments.strategies, arguments.windows, numbers, arguments.profile)
    if not is_main():
        return measured
    print(format_bench(measured), flush=True)
    if arguments.profile is not None:
        from tlj.benchmark.bench.traces import HOW

        print(HOW.format(folder=arguments.profile), flush=True)
    if earlier is not None:
        from tlj.benchmark.bench.comparison import compare_benches
        from tlj.benchmark.bench.comparison_text import format_comparison

        measured = {**measured, "compared": compare_benches(earlier, measured)}
        print(f"\n{format_comparison(measured['compared'])}", flush=True)
    if arguments.plots is not None:
        from tlj.benchmark.bench.plots import write_plots

        for file in write_plots(measured, arguments.plots):
            print(f"plot: {file}", flush=True)
    return measured


def _batches(arguments: argparse.Namespace) -> tuple[int, ...]:
    if arguments.batches is None:
        return ()
    from tlj.benchmark.bench.request import parse_counts

    return parse_counts(arguments.batches, "--batches")


def _bench_scaling(arguments: argparse.Namespace, config: ConfigDict) -> dict[str, Any]:
    from tlj.benchmark.bench.request import parse_counts
    from tlj.benchmark.bench.scaling import bench_scaling

    counts = parse_counts(arguments.scaling, "--scaling")
    return bench_scaling(config, counts, arguments.strategies, arguments.windows)
