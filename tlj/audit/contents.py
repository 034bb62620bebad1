"""The examples of any source as files, pixels or texts, and the splits that a config makes of them."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Int

from tlj.data.examples import Content, Items
from tlj.data.settings import DataSettings, Reading
from tlj.data.sources import Source, open_source

TRAIN, TEST = "train", "test"


def open_leniently(settings: DataSettings) -> Source:
    """Opens a source so that whatever cannot be read is listed, all of it: an audit does not stop at the first.

    Args:
      settings: of which ``on_error`` and ``skip_limit`` do not count.

    Raises:
      InputError: where the data cannot be opened at all.
    """
    return open_source(dataclasses.replace(settings, on_error="skip", skip_limit=sys.maxsize))


def contents(source: Source) -> Items:
    """Returns the content of every example of a source, also of one that holds arrays alone."""
    return getattr(source, "items", None) or ArrayContents(source)


def splits_of(source: Source, data: Mapping[str, Any]) -> dict[str, Int[np.ndarray, " part"]]:
    """Returns the indices of the splits to audit: what ``config.data`` trains and tests on, and what else there is.

    Args:
      source: the data.
      data: ``config.data``: ``train``, ``test``, ``test_fraction`` and ``split_seed``.

    Returns:
      ``train`` and ``test``, then each split of the source that has examples in neither, with those examples.

    Raises:
      InputError: where these splits cannot be made.
    """
    from tlj.data.parts import pool_and_test

    splits = dict(zip((TRAIN, TEST), pool_and_test(source, data, every_class=False), strict=True))
    used = np.concatenate(list(splits.values()))
    for name, part in source.parts.items():
        rest = np.setdiff1d(part, used)
        if len(rest):
            splits[f"the rest of {name}" if name in splits or len(rest) < len(part) else name] = rest
    return splits


@dataclasses.dataclass(frozen=True, eq=False)
class ArrayContents:
    """What a source of arrays holds: pixels, or token ids written as words."""

    source: Source

    def __len__(self) -> int:
        return len(self.source.labels)

    def __getitem__(self, index: int) -> Content:
        reader = self.source.reader(self.source.preprocessing, Reading())
        batch = reader.batch(np.array([index]))
        if "image" in batch:
            return batch["image"][0]
        ids = batch["input_ids"][0]
        return (" ".join(map(str, ids[batch["attention_mask"][0] > 0] if "attention_mask" in batch else ids)),)

    def where(self, index: int) -> str:
        """Returns the id of an example."""
        return self.source.ids[index]
