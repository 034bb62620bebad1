"""``tlj bench --input-only``: how fast examples become batches on a device, beside the plain way of doing the same."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

import tlj
from tlj.benchmark.plain_loop import DEFAULT
from tlj.data.ahead import Ahead
from tlj.data.cache import VARIABLE
from tlj.data.decode import decode
from tlj.data.examples import Examples
from tlj.data.fixed import ImagesInMemory
from tlj.data.images import Preprocessing
from tlj.data.pipeline import training_batches
from tlj.data.resize import resize_image, resized_edges
from tlj.data.settings import DataSettings, Reading
from tlj.data.sources import open_source
from tlj.errors import InputError
from tlj.training.fit import IMAGENET_MEAN, IMAGENET_STD, tokenizer_files
from tlj.training.manifest import PACKAGES
from tlj.training.model_source import open_model_source

Row = dict[str, Any]

# Long enough that starting and stopping do not matter.
IMAGES, SMALL_IMAGES, FILES, ROUNDS = 800, 200_000, 100_000, 5
SIZE, SMALL, BATCH, SMALL_BATCH, LONGEST = 224, 32, 32, 256, 512


def bench_input(config: ConfigDict, data: Sequence[str]) -> dict[str, Any]:
    """Measures input, from memory, from files and from text.

    Args:
      config: says how data is read and where a tokenizer is (``data.text.tokenizer`` or ``model.source``).
      data: names of sources; always measured beside them are small images in memory and a folder of many tiny files.

    Returns:
      ``versions`` and ``rows``: what, value, unit, and, where there is a plain way to compare with, ``plain`` in the
      same unit and ``ratio``.

    Raises:
      InputError: where a source cannot be read.
    """
    threads = config.data.threads or 2
    sources = [open_source(DataSettings.of({**config.data.to_dict(), "source": name})) for name in data]
    rows = [small_images(SMALL_IMAGES)]
    for source in sources:
        if not isinstance(source, Examples):
            raise InputError(f"{source.name} is not read from files", where="--data", do="give a folder or a table")
        rows += image_rows(source, threads) if source.kind == "images" else text_rows(source, config)
    rows += index_rows(FILES)
    versions = {package: importlib.metadata.version(package) for package in (*PACKAGES, "Pillow", "tokenizers")}
    return {"versions": {"tlj": tlj.__version__, **versions}, "cores": os.cpu_count(), "rows": rows}


def format_input(measured: Mapping[str, Any]) -> str:
    """Returns the measurements as aligned text."""
    lines, width = [], max(len(row["what"]) for row in measured["rows"])
    for row in measured["rows"]:
        value = f"{row['value']:,.4g}" if row["value"] < 1000 else f"{row['value']:,.0f}"
        lines.append(f"{row['what']:<{width}}  {value:>9} {row['unit']}")
        if "ratio" in row:
            lines.append(f"{'':<{width}}  {row['ratio']:>9.2f} times {row['plain_is']} ({row['plain']:,.0f})")
    return "\n".join(lines)


def _row(what: str, value: float, unit: str, **more: Any) -> Row:
    return {"what": what, "value": value, "unit": unit, **more}


def small_images(count: int) -> Row:
    """Measures batches of small images from memory to the device, in images per second."""
    pixels = np.random.default_rng(0).integers(0, 256, (count // 10, SMALL, SMALL, 3), np.uint8)
    labels, steps = np.zeros(len(pixels), np.int32), count // SMALL_BATCH
    ids = tuple(map(str, range(len(pixels))))
    source = ImagesInMemory("memory", ("a",), pixels, labels, ids, Preprocessing(SMALL, IMAGENET_MEAN, IMAGENET_STD))
    batches = training_batches(source, np.arange(len(pixels)), batch_size=SMALL_BATCH, seed=0, steps=steps)
    with Ahead(batches, 0, jax.device_put, threaded=False) as ahead:
        next(ahead)
        begin = time.perf_counter()
        for _ in range(steps - 1):
            jax.block_until_ready(next(ahead))
        seconds = time.perf_counter() - begin
    what = f"{SMALL}x{SMALL} images in memory to batches of {SMALL_BATCH} on the device"
    return _row(what, (steps - 1) * SMALL_BATCH / seconds, "images/s")


def image_rows(source: Examples, threads: int) -> list[Row]:
    """Measures decoding, resizing and batching, in turns with the plain loop in as many processes.

    Args:
      source: of images.
      threads: of ours, and processes of the plain loop.
    """
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        files = _as_files(source, pathlib.Path(folder))
        for resample, plain_is in (("bilinear", "Pillow's open, convert, resize with the same filter"),
                                   (DEFAULT, "Pillow's open, convert, resize as it comes")):  # fmt: skip
            preprocessing = Preprocessing(SIZE, IMAGENET_MEAN, IMAGENET_STD, resample)
            rounds = [
                (_decoded_per_s(source, preprocessing, threads), _plain_per_s(files, resample, threads))
                for _ in range(ROUNDS)
            ]
            ours, plain = np.median(rounds, axis=0)
            ratio = float(np.median([a / b for a, b in rounds]))
            what = f"{source.name}: decoded, {SIZE}x{SIZE} {resample}, batches of {BATCH}, {threads} threads"
            rows.append(_row(what, float(ours), "images/s", plain=float(plain), plain_is=plain_is, ratio=ratio))
    return [*rows, *stage_rows(source)]


def stage_rows(source: Examples) -> list[Row]:
    """Measures where the time of one thread goes, as shares of all that it does for an image.

    Args:
      source: of images.
    """
    preprocessing = Preprocessing(SIZE, IMAGENET_MEAN, IMAGENET_STD)
    encoded = [index for index in range(min(len(source.labels), IMAGES)) if isinstance(source.items[index], bytes)]
    contents = [(source.items[index], source.items.where(index)) for index in encoded]
    cover = functools.partial(resized_edges, preprocessing=preprocessing)
    found = [decode(content, where, cover) for content, where in contents]
    reader = source.reader(preprocessing, Reading(threads=1, memory=0))
    stages: dict[str, Callable[[], object]] = {
        "all": lambda: [reader.batch(np.array(encoded[i : i + BATCH])) for i in range(0, len(encoded), BATCH)],
        "decoding at the scale that covers": lambda: [decode(content, where, cover) for content, where in contents],
        "decoding at the smallest scale": lambda: [
            decode(content, where, lambda e: (1, 1)) for content, where in contents
        ],
        "resizing": lambda: [resize_image(one.image, preprocessing, one.edges, one.box) for one in found],
    }
    rounds = [{name: _seconds(run) for name, run in stages.items()} for _ in range(ROUNDS)]
    shares = {name: float(np.median([taken[name] / taken["all"] for taken in rounds])) for name in list(stages)[1:]}
    return [_row(f"{source.name}: {name}, one thread", share, "of its time") for name, share in shares.items()]


def _seconds(run: Callable[[], object]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def _as_files(source: Examples, folder: pathlib.Path) -> list[str]:
    """The same images as files, as often as it takes; those that the plain loop cannot read either are left out."""
    files = []
    for index in range(min(len(source.labels), IMAGES)):
        content = source.items[index]
        if isinstance(content, bytes):
            files.append(folder / str(index))
            files[-1].write_bytes(content)
    if not files:
        raise InputError(
            f"{source.name} holds no encoded images", where="--data", do="give a folder or a table of files"
        )
    return [str(files[i % len(files)]) for i in range(IMAGES)]


def _decoded_per_s(source: Examples, preprocessing: Preprocessing, threads: int) -> float:
    reader = source.reader(preprocessing, Reading(threads=threads, memory=0))
    indices = np.resize(np.arange(min(len(source.labels), IMAGES)), IMAGES)
    reader.batch(indices[:BATCH])
    begin = time.perf_counter()
    for first in range(0, IMAGES, BATCH):
        reader.batch(indices[first : first + BATCH])
    return IMAGES / (time.perf_counter() - begin)


def _plain_per_s(files: Sequence[str], resample: str, processes: int) -> float:
    """Images per second of all processes together, by the slowest; they begin together, when all have started."""
    command = [sys.executable, "-m", "tlj.benchmark.plain_loop", str(SIZE), resample]
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(processes)
    ]
    for number, process in enumerate(started):
        process.stdin.write(json.dumps(files[number::processes]) + "\n")
        process.stdin.flush()
    for process in started:
        process.stdout.readline()
    for process in started:
        process.stdin.close()
    seconds = [float(process.stdout.read()) for process in started]
    for process in started:
        process.wait()
    return len(files) / max(seconds)


def text_rows(source: Examples, config: ConfigDict) -> list[Row]:
    """Measures opening, tokenising and batching an epoch, without and with what the cache keeps, and the padding."""
    model, data = config.model.to_dict(), {**config.data.to_dict(), "source": source.name}
    pretrained = open_model_source(model, pathlib.Path(config.workdir or os.curdir)) if model["source"] else None
    files = tuple(sorted(tokenizer_files(data, pretrained).items()))
    if not files:
        what = "no tokenizer to measure text with"
        raise InputError(what, where="config.data.text.tokenizer", do="name a folder that holds one")
    length, rows = data["text"]["length"] or LONGEST, []
    with _empty_cache():
        for state in ("cold", "from the cache"):
            command = [sys.executable, "-m", "tlj.benchmark.epoch", str(BATCH), str(length), json.dumps(data)]
            finished = subprocess.run(
                [*command, json.dumps([[n, str(p)] for n, p in files])], capture_output=True, text=True
            )
            if finished.returncode:
                raise InputError(finished.stderr.strip().splitlines()[-1], where=source.name, do="mend it")
            measured = json.loads(finished.stdout)
            what = f"{source.name}: opened, tokenised and batched by {BATCH}, {measured['examples']} texts, {state}"
            rows.append(_row(what, measured["seconds"], "s"))
    return [
        *rows,
        *(_row(f"{source.name}: padding, {name}", share, "of tokens") for name, share in measured["padding"]),
    ]


@contextlib.contextmanager
def _empty_cache() -> Iterator[None]:
    """A cache of its own, so that cold is cold and nothing is left behind."""
    before = os.environ.get(VARIABLE)
    with tempfile.TemporaryDirectory() as folder:
        os.environ[VARIABLE] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ[VARIABLE]
            else:
                os.environ[VARIABLE] = before


def index_rows(count: int) -> list[Row]:
    """Measures opening a folder of tiny files, at first and again.

    Args:
      count: of the files, in ten classes.
    """
    with tempfile.TemporaryDirectory() as folder, _empty_cache():
        for label in range(10):
            (pathlib.Path(folder) / str(label)).mkdir()
        for number in range(count):
            (pathlib.Path(folder) / str(number % 10) / f"{number}.png").write_bytes(b"\x89PNG" + str(number).encode())
        rows = []
        for state in ("cold", "from the cache"):
            settings = DataSettings(f"folder:{folder}", skip_limit=100 + len(rows))  # apart, so that it is opened anew
            begin = time.perf_counter()
            open_source(settings)
            rows.append(_row(f"a folder of {count:,} tiny files indexed, {state}", time.perf_counter() - begin, "s"))
    return rows
