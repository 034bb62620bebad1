"""How long an epoch of text takes, by how its batches are made: of like length, packed, or padded.

    python -m tlj.benchmark.epoch_time --config=configs/sst2_minilm.py --config.model.source=DIR \
      --config.data.source=tsv:DIR --config.data.text.length=128 --config.global_batch_size=32

Every shape that batches of the epoch have is a program. Programs take turns, window by window, and the time of an epoch
is the sum over shapes of how often each occurs, times its step. The ratio to the epoch in which every row is padded to
``data.text.length`` is the median over rounds. Reading the batches is timed apart, once.
"""

from __future__ import annotations

import collections
import dataclasses
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from ml_collections import ConfigDict

from tlj import config as configuration
from tlj.benchmark.bench.table import aligned
from tlj.benchmark.command import command, exit_code
from tlj.benchmark.facts import measured_on
from tlj.benchmark.plan import weightless
from tlj.benchmark.step_time import spread
from tlj.benchmark.windows import Stepper, take_turns
from tlj.data.settings import BATCHING
from tlj.errors import InputError
from tlj.named_paths import check_file
from tlj.training.compiled import shape_key
from tlj.training.programs import Programs
from tlj.training.run_files import write_json
from tlj.training.setup import Setup, set_up

WHOLE = "padded to the length"
WAYS = (*BATCHING, WHOLE)

Batch = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class Epoch:
    """The batches of an epoch, made in one way.

    Attributes:
      setup: of the run.
      counts: how often each shape occurs.
      examples: a batch of each shape.
      reading_s: seconds that making all batches took.
      tokens: that a step computes on, padding counted, over the epoch.
    """

    setup: Setup
    counts: Mapping[tuple[Any, ...], int]
    examples: Mapping[tuple[Any, ...], Batch]
    reading_s: float
    tokens: int


def widened(batch: Mapping[str, np.ndarray], length: int, padding: int) -> Batch:
    """Returns a batch whose rows are padded to a length.

    Args:
      batch: of text, a row per example.
      length: tokens of a row.
      padding: the id that stands where there is no token.
    """

    def wider(name: str, array: np.ndarray) -> np.ndarray:
        if array.ndim != 2:
            return array
        missing = ((0, 0), (0, length - array.shape[1]))
        return np.pad(array, missing, constant_values=padding if name == "input_ids" else 0)

    return {name: wider(name, array) for name, array in batch.items()}


def read_epoch(config: ConfigDict, way: str) -> Epoch:
    """Reads every batch of the first epoch, and counts its shapes.

    Args:
      config: of a run on text; no weights are read.
      way: one of ``WAYS``.

    Raises:
      InputError: for anything in the config that cannot be done, or data that is no text.
    """
    resolved, base = weightless(config)
    batching = "padded" if way == WHOLE else way
    text = {**resolved["data"]["text"], "batching": batching}
    setup = set_up({**resolved, "data": {**resolved["data"], "text": text}}, base, needs_source=False)
    if setup.source.kind != "text" or setup.source.preprocessing is not None:
        raise InputError(f"{setup.source.name} holds no sentences", where="config.data.source", do="give text")
    steps = len(setup.split.train) // setup.config["global_batch_size"]
    if not steps:
        what = f"{len(setup.split.train)} examples are not one batch"
        raise InputError(what, where="config.global_batch_size", do="make it smaller")
    setup = dataclasses.replace(setup, config={**setup.config, "steps": steps})
    counts, examples, tokens = collections.Counter[tuple[Any, ...]](), {}, 0
    batches, begin = setup.batches, time.perf_counter()
    for step in range(steps):
        batch = batches[step]
        if way == WHOLE:
            batch = widened(batch, setup.preprocessing.length, setup.preprocessing.padding)
        key = shape_key(batch)
        counts[key] += 1
        examples.setdefault(key, batch)
        tokens += batch["input_ids"].size
    return Epoch(setup, counts, examples, time.perf_counter() - begin, tokens)


def measure_epochs(config: ConfigDict, ways: Sequence[str] = WAYS, windows: int = 5) -> dict[str, Any]:
    """Measures the steps of an epoch, by how its batches are made.

    Args:
      config: of a run on text; no weights are read.
      ways: of ``WAYS``; the last is what the others are related to.
      windows: of each program.

    Returns:
      Where and when (``measured_on``), config_digest, batch, dtype, strategy, windows, and ``rows`` of
      ``way``, ``steps``, ``shapes`` ([rows, tokens of a row, how often, ``median_s`` of a step]), ``tokens``, ``flops``
      (of the epoch), ``median_s``, ``p5_s``, ``p95_s`` (of the epoch), ``window_s`` (the epoch by round),
      ``times_sooner`` (``median``, ``low``, ``high`` over rounds, than the last way) and ``reading_s``.

    Raises:
      InputError: for anything in the config that cannot be done.
    """
    programs, epochs = Programs(), {way: read_epoch(config, way) for way in ways}
    steppers: dict[tuple[Any, ...], Stepper] = {}
    for epoch in epochs.values():
        for key, batch in epoch.examples.items():
            if key not in steppers:
                steppers[key] = Stepper(epoch.setup, epoch.setup.phases[0], programs, batch)
    timed = dict(zip(steppers, take_turns(list(steppers.values()), windows), strict=True))
    seconds = {key: windows_of.seconds for key, windows_of in timed.items()}
    flops = {key: stepper.program.flops for key, stepper in steppers.items()}
    whole = _epoch_s(epochs[ways[-1]], seconds)
    setup = next(iter(epochs.values())).setup
    return {
        **measured_on(),
        "config_digest": configuration.digest({**configuration.to_dict(config), "workdir": ""}),
        "batch": setup.config["global_batch_size"],
        "dtype": setup.dtype,
        "strategy": setup.config["strategy"],
        "windows": windows,
        "rows": [_row(way, epoch, seconds, flops, whole) for way, epoch in epochs.items()],
    }


def _epoch_s(
    epoch: Epoch, seconds: Mapping[tuple[Any, ...], Float[np.ndarray, " windows"]]
) -> Float[np.ndarray, " windows"]:
    """The seconds of an epoch in each round: the steps of every shape weighted by how often it occurs."""
    return sum(count * seconds[key] for key, count in epoch.counts.items())


def _row(
    way: str,
    epoch: Epoch,
    seconds: Mapping[tuple[Any, ...], Float[np.ndarray, " windows"]],
    flops: Mapping[tuple[Any, ...], float],
    whole: Float[np.ndarray, " windows"],
) -> dict[str, Any]:
    own = _epoch_s(epoch, seconds)
    sooner = whole / own
    sizes = {key: epoch.examples[key]["input_ids"].shape for key in epoch.counts}
    shapes = [[*sizes[key], count, float(np.median(seconds[key]))] for key, count in epoch.counts.items()]
    return {
        "way": way,
        "steps": sum(epoch.counts.values()),
        "shapes": sorted(shapes),
        "tokens": epoch.tokens,
        "flops": sum(count * flops[key] for key, count in epoch.counts.items()),
        **spread(own),
        "window_s": own.tolist(),
        "times_sooner": {name: float(value) for name, value in zip(
            ("median", "low", "high"), (np.median(sooner), sooner.min(), sooner.max()), strict=True)},
        "reading_s": epoch.reading_s,
    }  # fmt: skip


def format_epochs(measured: Mapping[str, Any]) -> str:
    """Returns what ``measure_epochs`` measured as text."""
    rows, whole = measured["rows"], measured["rows"][-1]
    cells = [("batches", "programs", "tokens", "FLOPs", "epoch", "sooner", "lowest to highest", "reading")]
    for row in rows:
        sooner = row["times_sooner"]
        cells.append((
            row["way"], str(len(row["shapes"])), f"{row['tokens'] / whole['tokens']:.3f}",
            f"{row['flops'] / whole['flops']:.3f}", f"{row['median_s']:,.4g} s", f"{sooner['median']:.2f} times",
            f"{sooner['low']:.2f} to {sooner['high']:.2f}", f"{row['reading_s']:,.3g} s",
        ))  # fmt: skip
    return "\n".join(
        [
            f"an epoch of {whole['steps']} steps, {measured['strategy']}, batch {measured['batch']}, "
            f"{measured['dtype']}, {measured['device']}, {measured['date']}",
            *aligned(cells),
            f"tokens, FLOPs: relative to {whole['way']}; epoch: steps alone, every shape weighted by how often it "
            f"occurs; sooner: median over {measured['windows']} rounds in which all programs take turns",
        ]
    )


def main(argv: Sequence[str]) -> None:
    """Reads the words, measures and prints a table."""
    words = command("tlj.benchmark.epoch_time", __doc__)
    words.add_argument("--config", metavar="FILE[:ARG]", required=True, help="of a run on text")
    words.add_argument("--windows", metavar="N", type=int, default=5, help="of each program (5)")
    words.add_argument("--json", metavar="FILE", type=pathlib.Path, help="also write the measurements to FILE")
    arguments, overrides = words.take(argv)
    if arguments.windows < 1:
        raise InputError(f"{arguments.windows} windows", where="--windows", do="give 1 or more")
    if arguments.json is not None:
        check_file(arguments.json, "--json")
    measured = measure_epochs(configuration.load(arguments.config, overrides), windows=arguments.windows)
    print(format_epochs(measured), flush=True)
    if arguments.json is not None:
        write_json(arguments.json, measured)


if __name__ == "__main__":
    raise SystemExit(exit_code(main))
