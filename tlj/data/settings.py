"""What of a config says which data is opened, and how its examples are read."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any, Self

from tlj.errors import InputError

BATCHING = ("buckets", "packed", "padded")


@dataclasses.dataclass(frozen=True)
class DataSettings:
    """Which data is opened, and what becomes of what cannot be read; hashable, so that a source is opened once.

    Attributes:
      source: ``scheme[:argument]``, for example ``"folder:photographs"``.
      task: what labels are to be read as: ``"multiclass"``, ``"multilabel"`` or ``"regression"``.
      text: columns of a table with the text, one or two; empty looks for a usual name.
      image: column with the image; empty looks for a usual name.
      label: column with the label; empty is ``label``.
      group: column with the group of an example; empty for none.
      id: column that names every example; empty makes ids of files and rows.
      classes: names of the classes in order, or a single name of a file with one a line; empty as found.
      known_classes: names of a model's classes, which stand where ``classes`` is empty, and of which the data may lack
        some; empty where there is no model to hold it against.
      on_error: ``"raise"`` stops at an example that cannot be read, ``"skip"`` leaves it out and lists it.
      skip_limit: the most that may be left out.
    """

    source: str
    task: str = "multiclass"
    text: tuple[str, ...] = ()
    image: str = ""
    label: str = ""
    group: str = ""
    id: str = ""
    classes: tuple[str, ...] = ()
    known_classes: tuple[str, ...] = ()
    on_error: str = "raise"
    skip_limit: int = 100

    @classmethod
    def of(cls, data: Mapping[str, Any], task: str = "multiclass") -> Self:
        """Returns the settings in ``config.data``.

        Args:
          data: ``config.data``.
          task: ``config.task``.
        """
        columns = data["columns"]
        return cls(
            source=data["source"],
            # The two tasks read the same labels, and share what is opened.
            task="multiclass" if task == "binary" else task,
            text=tuple(columns["text"]),
            **{name: columns[name] for name in ("image", "label", "group", "id")},
            classes=tuple(data["classes"]),
            on_error=data["on_error"],
            skip_limit=data["skip_limit"],
        )


@dataclasses.dataclass(frozen=True)
class Reading:
    """How the examples of a source become arrays; hashable, so that what was decoded or tokenised is shared by runs.

    Attributes:
      threads: that decode images; 0 is one per core, up to 16.
      memory: MiB of decoded images that are kept.
      crop_from: pixels a side of the squashed image that a random crop is cut from on the device; 0: none is.
      batching: of text, one of ``BATCHING``.
      buckets: number of sequence lengths in use.
      tokenizer: files of the tokenizer as (name, path) pairs; empty where the source holds token ids or images.
      shards: devices that the rows of a batch are divided over; packed rows are a multiple of it.
    """

    threads: int = 0
    memory: int = 512
    crop_from: int = 0
    batching: str = "buckets"
    buckets: int = 12
    tokenizer: tuple[tuple[str, pathlib.Path], ...] = ()
    shards: int = 1


@dataclasses.dataclass(frozen=True)
class Skipped:
    """An example that was left out: where it lies and why."""

    where: str
    reason: str


class Problems:
    """What of a data set cannot be read: the first is an error, or each is listed up to a limit.

    Attributes:
      skipped: what was left out so far, in the order found.

    Args:
      settings: ``on_error`` and ``skip_limit``.
    """

    def __init__(self, settings: DataSettings):
        self.skipped: list[Skipped] = []
        self._settings = settings

    def add(self, where: str, reason: str, do: str) -> None:
        """Takes in one example that cannot be read; the caller leaves it out when this returns.

        Args:
          where: the file, and the row of a table, for example ``"train.csv, row 17"``.
          reason: what is wrong, for example ``"the label is empty"``.
          do: what the user may do about it.

        Raises:
          InputError: where such examples are errors, or when there are more than may be skipped.
        """
        if self._settings.on_error == "raise":
            raise InputError(reason, where=where, do=f"{do}, or leave such examples out with data.on_error=skip")
        self.skipped.append(Skipped(where, reason))
        limit = self._settings.skip_limit
        if len(self.skipped) > limit:
            raise InputError(
                f"more than {limit} examples cannot be read; the last is {where}: {reason}",
                where="config.data.skip_limit",
                do="mend the data, or raise the limit",
            )
