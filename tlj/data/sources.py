"""Labelled data by name, ``scheme[:argument]``: what a source is, and which there are."""

from __future__ import annotations

import functools
import importlib
import threading
import warnings
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from jaxtyping import Int

from tlj.data.examples import Examples
from tlj.data.images import Preprocessing
from tlj.data.label_kinds import Labels
from tlj.data.settings import DataSettings, Reading, Skipped
from tlj.data.text import TextPreprocessing
from tlj.errors import InputError, unknown_name


class Reader(Protocol):
    """Examples as a model takes them, by index, whenever and as often as wanted; threads may share one.

    Attributes:
      preprocessing: what the model applies to them on the device.
      lengths: tokens of every example of the source, those that are cut off not counted; None for images.
      in_memory: whether reading costs next to nothing, so that nothing needs to read ahead.
      by_length: whether a batch is cheaper for being of examples of like length.
    """

    preprocessing: Preprocessing | TextPreprocessing
    lengths: Int[np.ndarray, " examples"] | None
    in_memory: bool
    by_length: bool

    def batch(self, indices: Int[np.ndarray, " batch"], rows: slice = slice(None)) -> dict[str, np.ndarray]:
        """Returns ``label`` and the examples at ``indices``; each array has a row per example, but for packing.

        Labels are as the source has them. Images are ``image`` (uint8), with ``aspect`` (float32, width by height of
        the original) where a crop is to be cut from them. Text is ``input_ids`` (int32, padded to one of a few lengths)
        and, where the source tells, ``attention_mask`` and ``token_type_ids``; packed text is described in
        ``tlj.data.tokens.packing``.

        Args:
          indices: of a global batch, which alone decides the shapes.
          rows: of the global batch that this process reads.

        Raises:
          InputError: for an example that cannot be read.
        """


class Source(Protocol):
    """What the rest of tlj asks of a data set: everything about its examples but their content.

    Attributes:
      name: as the config gave it.
      kind: ``"images"`` or ``"text"``.
      classes: class names, empty where labels are numbers.
      labels: of every example: an index into the classes (int32); for each class whether it is in the set of the
        example, 0 or 1 (int8); or a number (float32).
      ids: a name for every example, unique in the source and stable over time.
      groups: the group of every example, or empty.
      parts: indices of each split that the source comes with, by name, in an order of which any stretch is a fair part;
        empty where it has none.
      digest: hash of the content.
      skipped: what could not be read and was left out.
      preprocessing: what a model without a checkpoint should apply, with the sizes that the data has; None where the
        data has none of its own: images of any size, text that is not tokenised.
    """

    name: str
    kind: str
    classes: tuple[str, ...]
    labels: Labels
    ids: Sequence[str]
    groups: Sequence[str]
    parts: Mapping[str, Int[np.ndarray, " part"]]
    digest: str
    skipped: tuple[Skipped, ...]
    preprocessing: Preprocessing | TextPreprocessing | None

    def reader(self, preprocessing: Preprocessing | TextPreprocessing, reading: Reading) -> Reader:
        """Returns the examples as a model with this preprocessing takes them.

        Args:
          preprocessing: of the model; its ``image_size``, or its ``length`` as the most tokens of a sequence.
          reading: how.

        Raises:
          InputError: where they cannot be read so.
        """


# The module and the function of each scheme, imported when asked for: a broken library stops its scheme alone.
_SCHEMES = {
    "digits": ("digits", "digits"),
    "synthetic": ("synthetic", "synthetic_images"),
    "synthetic_text": ("synthetic", "synthetic_text"),
    "folder": ("origins.folder", "open_folder"),
    "csv": ("origins.tables", "open_table"),
    "tsv": ("origins.tables", "open_table"),
    "jsonl": ("origins.tables", "open_table"),
    "parquet": ("origins.tables", "open_table"),
    "hf": ("origins.huggingface", "open_huggingface"),
    "tfds": ("origins.tfds", "open_tfds"),
}


# Their examples have one class each, whatever the config asks for.
_CLASSES_ALONE = ("digits", "folder")

_opening = threading.Lock()


@functools.lru_cache(maxsize=4)
def _open(settings: DataSettings) -> Source:
    scheme, _, argument = settings.source.partition(":")
    if scheme not in _SCHEMES:
        raise unknown_name("data source", scheme, _SCHEMES, where="config.data.source")
    if settings.task != "multiclass" and scheme in _CLASSES_ALONE:
        raise InputError(
            f"every example of {settings.source} has one class, which makes no labels for {settings.task}",
            where="config.task",
            do="use multiclass or binary, or the data in a table: csv, tsv, jsonl, parquet, hf or tfds",
        )
    module, function = _SCHEMES[scheme]
    source = getattr(importlib.import_module(f"tlj.data.{module}"), function)(settings, argument)
    if not isinstance(source, Examples):
        return source
    # Not at the top: its image decoders are of no use to text.
    from tlj.data.readable import readable

    found = readable(source, settings)
    if found.skipped:
        count, one = len(found.skipped), found.skipped[0]
        first = f"the first {one.where}: {one.reason}"
        warnings.warn(f"{found.name}: examples left out because they cannot be read: {count}, {first}", stacklevel=3)
    return found


def open_source(settings: DataSettings | str) -> Source:
    """Opens a source; the same settings give the same object while it is in use.

    Args:
      settings: which; a name alone, for example ``"digits:5-9"``, stands for itself and the defaults.

    Raises:
      InputError: for a scheme that does not exist, or data that cannot be read as asked.
    """
    return _open(DataSettings(settings) if isinstance(settings, str) else settings)


def open_reader(source: Source, preprocessing: Preprocessing | TextPreprocessing, reading: Reading) -> Reader:
    """Returns ``source.reader(...)``, the same object for the same arguments while it is in use: runs share it."""
    # Two runs in two threads must not tokenise the same text at once.
    with _opening:
        return _open_reader(source, preprocessing, reading)


@functools.lru_cache(maxsize=4)
def _open_reader(source: Source, preprocessing: Preprocessing | TextPreprocessing, reading: Reading) -> Reader:
    return source.reader(preprocessing, reading)
