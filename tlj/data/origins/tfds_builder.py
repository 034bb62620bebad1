"""Finds a data set of TensorFlow Datasets that can be read without TensorFlow, or says how to make it so."""

from __future__ import annotations

import importlib
import os
import re
from typing import Any

from tlj.errors import InputError, nearest_name

_NAME = re.compile(r"(?P<name>[a-z]\w*)(?:/[\w.+-]+)?(?::\d+\.\d+\.\d+)?", re.ASCII | re.IGNORECASE)
# Builders of the old style are registered by the import of their module.
_REGISTERING = ("text",)


def builder_of(argument: str, source: str) -> Any:
    """Returns the builder of a data set that is prepared in array_record.

    Args:
      argument: ``NAME[/CONFIG][:VERSION]``.
      source: the data set, for messages.

    Raises:
      InputError: for a name that does not exist, or a data set that is not so prepared.
    """
    if not _NAME.fullmatch(argument):
        raise InputError(
            f"{argument!r} names no data set",
            where="config.data.source",
            do="give tfds:NAME, with /CONFIG and :VERSION",
        )
    builder = _found(argument, source)
    # A data set of Parquet files would ignore slices of its splits, and TFRecord cannot be read at any place.
    formats = (
        [file_format.value for file_format in builder.info.available_file_formats()] if builder.info.splits else []
    )
    if "array_record" not in formats:
        state = f"is prepared as {', '.join(formats)}, not as array_record" if formats else "is not prepared"
        raise InputError(f"{state} in {builder.data_dir}", where=source, do=_how_to_prepare(argument, bool(formats)))
    return builder


def _found(argument: str, source: str) -> Any:
    import tensorflow_datasets as tfds

    folder = os.environ.get("TFDS_DATA_DIR")
    for module in (None, *_REGISTERING):
        if module:
            importlib.import_module(f"tensorflow_datasets.{module}")
        try:
            return tfds.builder(argument, data_dir=folder)
        except tfds.core.DatasetNotFoundError:
            continue
        except (AssertionError, ValueError, TypeError, OSError, ImportError) as error:
            reason = str(error).splitlines()[0].rpartition('}": ')[2]
            raise InputError(
                f"cannot be opened: {reason}", where=source, do="check its name, config and version"
            ) from None
    raise InputError(
        f"there is no data set {argument!r}, neither known to TFDS nor prepared in {folder or 'its folder'}",
        where=source,
        nearest=nearest_name(re.split("[/:]", argument)[0], tfds.list_builders(with_community_datasets=False)),
        do="set TFDS_DATA_DIR to the folder of prepared data sets",
    )


def _how_to_prepare(argument: str, elsewhere: bool) -> str:
    text = ", tensorflow_datasets.text" if argument.startswith(("glue", "super_glue")) else ""
    place = ", with TFDS_DATA_DIR set to another folder" if elsewhere else ""
    call = f"tfds.builder('{argument}', file_format='array_record').download_and_prepare()"
    return (
        f"prepare it once where tlj[tensorflow] is installed{place}: "
        f'python -c "import tensorflow_datasets as tfds{text}; {call}"'
    )
