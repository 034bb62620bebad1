"""TensorFlow Datasets without TensorFlow: ``tfds:NAME[/CONFIG][:VERSION]``, prepared in array_record files."""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from tlj.data.examples import Examples
from tlj.data.origins.arrow_copy import arrow_copy, file_state
from tlj.data.origins.columns import Columns, choose_columns
from tlj.data.origins.rows import InMemory, Rows
from tlj.data.origins.table_examples import table_examples
from tlj.data.origins.tfds_builder import builder_of
from tlj.data.settings import DataSettings, Problems
from tlj.errors import InputError

_BATCH = 1024


def open_tfds(settings: DataSettings, argument: str) -> Examples:
    """Opens a prepared data set, from ``$TFDS_DATA_DIR`` or where TFDS keeps data otherwise.

    All is read once, for labels, texts and a hash of every image, and this is kept in the cache; images are read from
    the files of the data set whenever they are asked for, as they are encoded there.

    Args:
      settings: of the data; without columns the supervised keys of the data set are used, or else usual names.
      argument: name, configuration and version.

    Raises:
      InputError: for a data set that does not exist, is not prepared in array_record, or cannot be used.
    """
    builder = builder_of(argument, settings.source)
    columns = _columns(builder.info, settings)
    label = builder.info.features[columns.label]
    # Of a list, the names are those of what it holds.
    classes = tuple(getattr(getattr(label, "feature", label), "names", None) or ())
    tables = [_rows(builder, argument, name, columns, settings.source) for name in builder.info.splits]
    return table_examples(tables, columns, settings, Problems(settings), classes)


class EncodedImages:
    """The images of one split as they are encoded in its files; another process gets the name and opens them again.

    Args:
      argument: name, configuration and version of the data set.
      split: name of the split.
      image: name of the feature.
      source: the data set, for messages.
    """

    def __init__(self, argument: str, split: str, image: str, source: str):
        self._arguments = argument, split, image, source
        self._records = _records(builder_of(argument, source), split, image)

    def __reduce__(self):
        return EncodedImages, self._arguments

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, row: int) -> bytes:
        _, split, image, source = self._arguments
        try:
            return self._records[row][image]
        except (OSError, ValueError, RuntimeError) as error:
            raise InputError(
                f"cannot be read: {error}", where=f"{source}, {split}, row {row + 1}", do="prepare it again"
            ) from None


def _columns(info: Any, settings: DataSettings) -> Columns:
    names = list(info.features)
    keys = info.supervised_keys
    if keys and len(keys) == 2 and all(isinstance(key, str) for key in keys):
        content, label = keys
        if not settings.text and not settings.image:
            key, value = ("image", content) if _is_image(info.features[content]) else ("text", (content,))
            settings = dataclasses.replace(settings, **{key: value})
        settings = dataclasses.replace(settings, label=settings.label or label)
    columns = choose_columns(names, settings, settings.source)
    if columns.image and not _is_image(info.features[columns.image]):
        raise InputError(f"{columns.image!r} is no image", where=settings.source, do="set data.columns.image or .text")
    return columns


def _is_image(feature: Any) -> bool:
    import tensorflow_datasets as tfds

    return isinstance(feature, tfds.features.Image)


def _records(builder: Any, split: str, image: str) -> Any:
    import tensorflow_datasets as tfds

    decoders = {image: tfds.decode.SkipDecoding()} if image else None
    return builder.as_data_source(split=split, decoders=decoders, file_format="array_record")


def _rows(builder: Any, argument: str, split: str, columns: Columns, source: str) -> Rows:
    def batches() -> Iterator[pa.RecordBatch]:
        records = _records(builder, split, columns.image)
        for begin in range(0, len(records), _BATCH):
            read = [records[row] for row in range(begin, min(begin + _BATCH, len(records)))]
            yield pa.record_batch({name: _column(read, name, name == columns.image) for name in columns.names})

    files = sorted(file_state(file) for file in pathlib.Path(builder.data_path).iterdir() if f"-{split}." in file.name)
    try:
        table = arrow_copy((files, split, columns.names), batches)
        table = pa.Table.from_batches(list(batches())) if table is None else table
    except (OSError, ValueError, RuntimeError, pa.ArrowException) as error:
        raise InputError(f"the split {split!r} cannot be read: {error}", where=source, do="prepare it again") from None
    contents = EncodedImages(argument, split, columns.image, source) if columns.image else None
    return Rows(split, split, InMemory(table), contents=contents)


def _column(records: list[dict[str, Any]], name: str, is_image: bool) -> pa.Array:
    values = [record[name] for record in records]
    if is_image:
        return pa.array([hashlib.sha256(value).digest() if value else b"" for value in values], pa.binary())
    if isinstance(values[0], (bytes, str)):
        return pa.array([value.encode() if isinstance(value, str) else value for value in values], pa.binary())
    # One by one: lists differ in length.
    return pa.array([np.asarray(value).tolist() for value in values])
