"""A checkpoint of another origin, described by its files, and the model's leaves assembled from its arrays."""

from __future__ import annotations

import dataclasses
import functools
import math
import pathlib
import re
from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from tlj.data.images import Preprocessing
from tlj.data.text import TextPreprocessing
from tlj.errors import InputError
from tlj.models.registry import Spec
from tlj.models.shapes import leaf_shapes
from tlj.pretrained.files.stored import StoredArray
from tlj.pretrained.formats.name_map import Entry, Module, entries
from tlj.pretrained.formats.positions import resize_positions
from tlj.pretrained.source import PretrainedSource, SourceLeaf, check_finite

POSITIONS = "params/backbone/embedding/position"


@dataclasses.dataclass(frozen=True, eq=False)
class Checkpoint:
    """What the files of a checkpoint say, before any value is read.

    Attributes:
      spec: of the model to be made: the checkpoint's sizes, changed by what the user overrides.
      stored_spec: the checkpoint's own sizes; ``num_classes`` is 0 where it has no classification head.
      modules: where the checkpoint holds each layer of a model of ``spec``.
      layout: of ``tlj.pretrained.formats.name_map``.
      arrays: by name, without the prefix of the class that saved them.
      unused: patterns of names that the model does not take, each with the reason.
      preprocessing: what the model expects of its inputs.
      resize: how position embeddings are resized: ``"bicubic"`` or ``"bilinear"``.
      classes: names of the classes, empty where nobody tells.
      files: that travel with the model, by name.
      location: where it was found.
      identity: hash of the content.
      hint: what to do where arrays do not fit, if that is known.
    """

    spec: Spec
    stored_spec: Spec
    modules: tuple[Module, ...]
    layout: str
    arrays: Mapping[str, StoredArray]
    unused: Mapping[str, str]
    preprocessing: Preprocessing | TextPreprocessing
    resize: str = "bicubic"
    classes: tuple[str, ...] = ()
    files: Mapping[str, pathlib.Path] = dataclasses.field(default_factory=dict)
    location: str = ""
    identity: str = ""
    hint: str = ""


def assemble(checkpoint: Checkpoint, allow_missing: Sequence[str] = ()) -> PretrainedSource:
    """Matches the arrays of a checkpoint with the leaves of the model; no value is read.

    Args:
      checkpoint: what the files say.
      allow_missing: regular expressions; a name of the checkpoint, or a path of the model, that one of them matches
        whole may be missing, extra or of another shape. A leaf without values then starts anew.

    Raises:
      InputError: listing every missing, extra and misshapen array.
    """
    shapes = leaf_shapes(checkpoint.spec)
    wanted = entries(checkpoint.modules, shapes, checkpoint.layout)
    known = {name for entry in wanted for name in entry.names}
    allowed = _any_of(allow_missing)
    problems, reset, leaves = [], set(), {}
    for entry in wanted:
        wrong = _problems(entry, checkpoint)
        excused = allowed.fullmatch(entry.path) or all(allowed.fullmatch(name) for name, _ in wrong)
        if not wrong:
            leaves[entry.path] = _leaf(entry, checkpoint)
        elif excused:
            reset.add(entry.path)
        else:
            problems += [text for _, text in wrong]
    ignored = []
    taken = {name for entry in wanted if entry.path in leaves for name in entry.names}
    for name in sorted(set(checkpoint.arrays) - taken):
        reason = next((why for pattern, why in checkpoint.unused.items() if re.fullmatch(pattern, name)), "")
        if not reason and name not in known and not allowed.fullmatch(name):
            problems.append(f"extra {name} {checkpoint.arrays[name].shape}")
        array = checkpoint.arrays[name]
        note = reason or ("allowed: the model's own starts anew" if name in known else "allowed")
        ignored.append(SourceLeaf((array.name,), tuple(array.shape), array.read, note))
    if problems:
        raise InputError(
            f"{len(problems)} arrays do not fit the model: {'; '.join(problems)}",
            where=checkpoint.location,
            do=checkpoint.hint
            or "give the settings that the checkpoint was made with, or name in allow_missing what may differ",
        )
    return PretrainedSource(
        checkpoint.spec,
        checkpoint.preprocessing,
        leaves,
        ignored=tuple(ignored),
        reset=frozenset(reset),
        classes=checkpoint.classes,
        files=checkpoint.files,
        identity=checkpoint.identity,
        location=checkpoint.location,
    )


def _any_of(patterns: Sequence[str]) -> re.Pattern[str]:
    """A pattern that matches what one of some does, and nothing where there are none."""
    for pattern in patterns:
        try:
            re.compile(pattern)
        except (re.error, TypeError) as error:
            raise InputError(
                f"{pattern!r} is not a regular expression ({error})", where="allow_missing", do="mend it"
            ) from None
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns) or r"(?!)")


def _is_resized(entry: Entry, checkpoint: Checkpoint) -> bool:
    return entry.path == POSITIONS and checkpoint.spec != checkpoint.stored_spec


def _problems(entry: Entry, checkpoint: Checkpoint) -> list[tuple[str, str]]:
    """What is wrong with the arrays of a leaf: their names, each with a line of text."""
    wrong = []
    stored = leaf_shapes(checkpoint.stored_spec).get(entry.path) if _is_resized(entry, checkpoint) else None
    expected = dataclasses.replace(entry, shape=stored) if stored else entry
    for name in entry.names:
        array = checkpoint.arrays.get(name)
        if array is None:
            wrong.append((name, f"missing {name}"))
        elif not expected.fits(array.shape, checkpoint.layout):
            what = f"{name} has shape {array.shape}, the model wants {expected.stored_shape}"
            wrong.append((name, what))
        elif not jnp.issubdtype(array.dtype, jnp.floating):
            wrong.append((name, f"{name} holds {array.dtype}, not floating-point numbers"))
    return wrong


def _leaf(entry: Entry, checkpoint: Checkpoint) -> SourceLeaf:
    arrays = [checkpoint.arrays[name] for name in entry.names]
    is_resized = _is_resized(entry, checkpoint)
    stored = leaf_shapes(checkpoint.stored_spec)[entry.path] if is_resized else entry.shape
    as_stored = dataclasses.replace(entry, shape=stored)
    names = tuple(array.name for array in arrays)
    leaf = SourceLeaf(names, stored, functools.partial(_read, as_stored, arrays, checkpoint.location))
    if not is_resized:
        return leaf
    return resized_leaf(leaf, entry.shape, checkpoint.spec.class_token, checkpoint.resize)


def resized_leaf(leaf: SourceLeaf, shape: tuple[int, ...], has_class_token: bool, method: str) -> SourceLeaf:
    """Returns the leaf of position embeddings for another resolution; itself where the shape is the same."""
    if leaf.shape == shape:
        return leaf

    def read() -> Float[np.ndarray, "1 length width"]:
        return resize_positions(leaf.read(), shape, has_class_token=has_class_token, method=method)

    before, after = (math.isqrt(one[1] - has_class_token) for one in (leaf.shape, shape))
    return SourceLeaf(leaf.names, shape, read, f"{method} from {before}x{before} to {after}x{after}")


def _read(entry: Entry, arrays: Sequence[StoredArray], location: str) -> Float[np.ndarray, "..."]:
    """Reads a leaf in the model's layout, in float32, and checks every number of it."""
    values = []
    for array in arrays:
        with np.errstate(over="ignore"):  # what does not fit float32 becomes infinite and is refused
            stored = np.asarray(array.read(), np.float32)
        values.append(check_finite(stored, array.name, location))
    return np.ascontiguousarray(entry.from_stored(values))
