"""Activations of examples, computed once: which there are to be for a run, where they lie, and how they are made."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import pathlib
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from flax import traverse_util
from jaxtyping import Int

from tlj.data.cache import cache_folder
from tlj.data.images import Augmentation, Preprocessing
from tlj.data.sources import Reader
from tlj.data.text import TextPreprocessing
from tlj.errors import RunError
from tlj.freezing.boundary import boundaries
from tlj.models.registry import Spec
from tlj.models.shapes import model_shapes
from tlj.progress import Progress
from tlj.training.cached.activation_file import VERSION, ActivationFile, Layout
from tlj.training.cached.activations import make_activation_step
from tlj.training.cached.start import shared_start, start_identity
from tlj.training.evaluate import batch_outputs, dividing
from tlj.training.features import placed
from tlj.training.parallel import batch_sharding
from tlj.training.programs import Programs
from tlj.training.setup import Setup

# Batches for which no progress is shown.
_FEW = 10


@dataclasses.dataclass(frozen=True, eq=False)
class Wanted:
    """The activations that a phase of a run starts from.

    Attributes:
      depth: that they leave.
      file: where they are kept.
      clean: rows of examples as evaluation reads them.
      views: rows of augmented views, view v of example i in row v * examples + i.
    """

    depth: int
    file: ActivationFile
    clean: Int[np.ndarray, " n"]
    views: Int[np.ndarray, " m"]

    def missing(self) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " m"]]:
        """Returns the rows that are not there yet."""
        return self.file.missing(self.clean), self.file.missing(self.views)


def depths_of(setup: Setup) -> tuple[int | None, ...]:
    """Returns the depth whose activations each phase of a run starts from; None where it starts from inputs."""
    if setup.config["cache"]["activations"] == "none" or setup.settings.adapters:
        # Adapters are in every block.
        return (None,) * len(setup.phases)
    return boundaries(setup.phases, setup.layout)


def layout_of(setup: Setup, depth: int) -> Layout:
    """Returns how the activations of a run's data lie at a depth.

    Args:
      setup: of the run, which starts from inputs.
      depth: of the boundary.
    """
    reader, count = setup.reader, len(setup.source.labels)
    first = reader.batch(np.zeros(1, np.int64))
    shapes = tuple(sorted((name, array.shape, str(array.dtype)) for name, array in first.items()))
    shape = _shape_of(dataclasses.replace(setup.spec, num_classes=0), setup.fit.preprocessing, depth, shapes)
    cache = setup.config["cache"]
    if is_ragged(setup, depth):
        return Layout(shape[1:], count, cache["activations"], np.asarray(reader.lengths))
    return Layout(shape, count * (1 + cache["views"]), cache["activations"])


def is_ragged(setup: Setup, depth: int) -> bool:
    """Whether examples have as many items as they have tokens: text that is not padded already, below its pooling."""
    return depth < setup.spec.depth and setup.reader.lengths is not None


@functools.lru_cache(maxsize=64)
def _shape_of(
    spec: Spec, preprocessing: Preprocessing | TextPreprocessing, depth: int, shapes: tuple[Any, ...]
) -> tuple[int, ...]:
    """The shape of the activations of one example; nothing is computed."""
    batch = {name: jax.ShapeDtypeStruct(shape, dtype) for name, shape, dtype in shapes}
    step = make_activation_step(spec, "float32", preprocessing, depth)
    variables = model_shapes(spec)
    return jax.eval_shape(step, variables["params"], variables["batch_stats"], batch).shape[1:]


def _identity(setup: Setup, depth: int) -> str:
    """Hash of all that the activations are made from."""
    source, cache = setup.source, setup.config["cache"]
    # Two sources of one content may differ in the columns that were read and in what was left out.
    facts = sorted(getattr(source, "facts", {}).items())
    data = (source.digest, len(source.labels), tuple(source.skipped), facts)
    views = (cache["views"], setup.augmentation, setup.fit.training_reading.crop_from) if cache["views"] else ()
    how = (setup.fit.preprocessing, setup.dtype, jax.default_backend(), cache["activations"], views)
    content = (VERSION, depth, start_identity(setup, depth), data, how)
    return hashlib.sha256(repr(content).encode()).hexdigest()[:32]


_files: dict[pathlib.Path, ActivationFile] = {}
_opening = threading.Lock()


def open_file(setup: Setup, depth: int) -> ActivationFile:
    """Returns where the activations of a run lie; runs of a process share what is open.

    Args:
      setup: of the run, which starts from inputs.
      depth: of the boundary.
    """
    folder = cache_folder("activations") / _identity(setup, depth)
    with _opening:
        if folder not in _files or not _files[folder].is_there():
            _files[folder] = ActivationFile(folder, layout_of(setup, depth))
        return _files[folder]


def wanted(setup: Setup, depth: int) -> Wanted:
    """Returns the activations that a run starts from at a boundary, whether they are there or not.

    Args:
      setup: of the run, which starts from inputs.
      depth: of the boundary.
    """
    return Wanted(depth, open_file(setup, depth), *rows_of(setup))


def rows_of(setup: Setup) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " m"]]:
    """Returns the rows of a run's examples: as evaluation reads them, and of augmented views."""
    split, views, count = setup.split, setup.config["cache"]["views"], len(setup.source.labels)
    clean = [split.validation, *([split.test] if setup.config["evaluate"]["test"] else [])]
    train = np.asarray(split.train, np.int64)
    augmented = [train + view * count for view in range(1, views + 1)]
    parts = (clean if views else [*clean, train], augmented or [train[:0]])
    plain, drawn = (np.unique(np.concatenate(part).astype(np.int64)) for part in parts)
    return plain, drawn


@dataclasses.dataclass(frozen=True, eq=False)
class _Views:
    """A reader of views by their rows, whose batches tell ``example`` and ``view``."""

    base: Reader
    examples: int
    by_length: bool = False

    def batch(self, indices: Int[np.ndarray, " batch"], rows: slice = slice(None)) -> dict[str, np.ndarray]:
        view, example = np.divmod(np.asarray(indices)[rows], self.examples)
        numbers = {"example": example.astype(np.int32), "view": view.astype(np.int32)}
        return {**self.base.batch(example), **numbers}


def extract(setup: Setup, programs: Programs, asked: Wanted) -> None:
    """Computes and writes the activations that are asked for and not there; what is there is left as it is.

    Args:
      setup: of the run, which starts from inputs.
      programs: compiled programs to share.
      asked: what is to be there.

    Raises:
      RunError: where the disk is full.
    """
    if not any(len(rows) for rows in asked.missing()):
        return
    with asked.file.alone():
        clean, views = asked.missing()
        if not len(clean) + len(views):
            return
        variables = _placed_below(setup, asked.depth)
        # Those of another seed or budget, a few more each, are there before anyone looks.
        few = len(clean) + len(views) <= _FEW * setup.config["evaluate"]["batch_size"]
        progress = Progress(f"activations at depth {asked.depth} of {setup.spec.depth}", len(clean) + len(views))
        with contextlib.nullcontext() if few else progress.shown():
            fill = functools.partial(_fill, setup, programs, asked, variables, None if few else progress)
            fill(setup.reader, clean, None)
            if len(views):
                fill(_Views(setup.training_reader, len(setup.source.labels)), views, setup.augmentation)


def _placed_below(setup: Setup, depth: int) -> dict[str, Any]:
    held = shared_start(setup).below(setup, depth)
    variables = {kind: traverse_util.unflatten_dict(leaves, sep="/") for kind, leaves in held.items()}
    return placed(setup.mesh, variables)[0]


def _fill(
    setup: Setup,
    programs: Programs,
    asked: Wanted,
    variables: Mapping[str, Any],
    progress: Progress | None,
    reader: Reader,
    rows: Int[np.ndarray, " n"],
    augmentation: Augmentation | None,
) -> None:
    """Computes rows and writes them, and charges what it costs, without compiling, to their file."""
    if not len(rows):
        return
    cost = {"seconds": 0.0, "flops": 0.0, "examples": 0}
    step = _ActivationProgram(setup, programs, asked.depth, augmentation, variables, cost)
    size, sharding = dividing(setup.config["evaluate"]["batch_size"], setup.mesh.size), batch_sharding(setup.mesh)
    begin = time.perf_counter()
    for values, places in batch_outputs(step.of, variables, reader, rows, size, sharding):
        try:
            asked.file.write(rows[places], values)
        except OSError as error:
            reason = f"activations cannot be written to {asked.file.folder} ({error.strerror})"
            raise RunError(f"{reason}; make room, or set config.cache.activations=none, and run it again") from error
        cost["examples"] += len(places)
        if progress:
            progress.advance(len(places))
    cost["seconds"] = time.perf_counter() - begin - step.compile_s
    asked.file.charge(**cost)


class _ActivationProgram:
    """The compiled extraction for each shape of batch, which counts the FLOPs of its calls."""

    def __init__(
        self,
        setup: Setup,
        programs: Programs,
        depth: int,
        augmentation: Augmentation | None,
        variables: Mapping[str, Any],
        cost: dict[str, float],
    ):
        self._setup, self._programs, self._depth = setup, programs, depth
        self._augmentation, self._cost, self.compile_s = augmentation, cost, 0.0
        self._shapes = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), dict(variables)
        )

    def of(self, batch: Mapping[str, Any]) -> Callable[..., jax.Array]:
        """Returns the program for a batch, which is called once."""
        setup, sharding = self._setup, batch_sharding(self._setup.mesh)
        what = (dataclasses.replace(setup.spec, num_classes=0, head_layers=()), setup.dtype, setup.fit.preprocessing)
        made_of = (*what, self._depth, self._augmentation)
        batch_shapes = {name: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=sharding) for name, a in batch.items()}
        of_batch = tuple(sorted((name, array.shape, str(array.dtype)) for name, array in batch.items()))
        of_mesh = (tuple(setup.mesh.shape.items()), tuple(setup.mesh.devices.flat))
        begin = time.perf_counter()
        program, _ = self._programs.get(
            ("activations", *made_of, *of_mesh, of_batch),
            lambda: jax.jit(make_activation_step(*made_of)),
            self._shapes["params"],
            self._shapes["batch_stats"],
            batch_shapes,
        )
        self.compile_s += time.perf_counter() - begin
        self._cost["flops"] += program.flops
        return program.call
