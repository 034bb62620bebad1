"""Data sets of the ``datasets`` library: ``hf:NAME``, ``hf:NAME@CONFIG``, or a folder that ``save_to_disk`` wrote."""

from __future__ import annotations

import logging
import pathlib
from typing import Any

from tlj.data.examples import Examples
from tlj.data.origins.columns import choose_columns
from tlj.data.origins.rows import Rows
from tlj.data.origins.table_examples import table_examples
from tlj.data.settings import DataSettings, Problems
from tlj.errors import InputError
from tlj.named_paths import named_path

# What save_to_disk writes beside the data, of several splits and of one.
_SAVED = ("dataset_dict.json", "state.json")


def open_huggingface(settings: DataSettings, argument: str) -> Examples:
    """Opens a data set of the hub or the disk; its code, should it have any, is never run.

    Args:
      settings: of the data.
      argument: name on the hub with an optional ``@CONFIG``, or a folder.

    Raises:
      InputError: without the ``datasets`` library, for a data set that is not there, and for data that cannot be used.
    """
    found = _load(argument, settings.source)
    splits = found if isinstance(found, dict) else {"": found}
    leading = "train" if "train" in splits else next(iter(splits))
    columns = choose_columns(splits[leading].column_names, settings, settings.source)
    label = splits[leading].features[columns.label]
    tables = [
        Rows(name or pathlib.PurePath(argument).name, name, split.data, stamp=split._fingerprint)
        for name, split in splits.items()
    ]
    # Of a list, the names are those of what it holds.
    classes = tuple(getattr(getattr(label, "feature", label), "names", None) or ())
    return table_examples(tables, columns, settings, Problems(settings), classes)


def _load(argument: str, source: str) -> Any:
    try:
        import datasets
    except ImportError:
        raise InputError(
            "the datasets library is not installed", where=source, do="pip install 'tlj[hf]', or use parquet:PATH"
        ) from None
    name, _, config = argument.partition("@")
    if not name:
        raise InputError("no name is given", where="config.data.source", do="give hf:NAME, hf:NAME@CONFIG or hf:FOLDER")
    folder = named_path(argument, "config.data.source")
    if folder.is_dir() and not any((folder / name).is_file() for name in _SAVED):
        raise InputError(
            "the folder was not written by save_to_disk",
            where=str(folder),
            do="use folder:PATH, csv:PATH or parquet:PATH",
        )
    # A hub that cannot be reached is told once, at the end, and not at every attempt.
    logging.getLogger("huggingface_hub").setLevel(logging.CRITICAL)
    try:
        if folder.is_dir():
            return datasets.load_from_disk(str(folder))
        return datasets.load_dataset(name, config or None)
    except (OSError, ValueError, RuntimeError, LookupError, TypeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"cannot be loaded: {reason}", where=source, do="check the name and the connection, or give hf:NAME@CONFIG"
        ) from None
