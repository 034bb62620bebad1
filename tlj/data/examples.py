"""A source whose examples are files or rows: labels and names are at hand, content is read when it is asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from jaxtyping import Int, UInt8

from tlj.data.images import Preprocessing
from tlj.data.label_kinds import Labels
from tlj.data.settings import Reading, Skipped
from tlj.data.text import TextPreprocessing

# An image as its file holds it, or as pixels where the data has no files; a text, or two of a pair.
Content = bytes | UInt8[np.ndarray, "height width 3"] | tuple[str, ...]


class Items(Protocol):
    """The content of every example; safe to share between threads, and to be sent to another process."""

    def __len__(self) -> int:
        """Returns the number of examples."""

    def __getitem__(self, index: int) -> Content:
        """Returns the content of one example.

        Raises:
          InputError: where the file is gone or cannot be read.
        """

    def where(self, index: int) -> str:
        """Returns where an example lies: its file, and the row in a table, for messages."""


@dataclasses.dataclass(frozen=True, eq=False)
class Examples:
    """A ``Source`` over items; the other fields are those of ``tlj.data.sources.Source``.

    Attributes:
      items: the content of every example.
      facts: what else the manifest should say of the data, for example its columns.
    """

    name: str
    kind: str
    classes: tuple[str, ...]
    labels: Labels
    ids: Sequence[str]
    items: Items
    digest: str
    parts: Mapping[str, Int[np.ndarray, " part"]] = dataclasses.field(default_factory=dict)
    groups: Sequence[str] = ()
    skipped: tuple[Skipped, ...] = ()
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    # Images of any size, text that is not tokenised: what a model takes is the model's to say.
    preprocessing: None = None

    def reader(self, preprocessing: Preprocessing | TextPreprocessing, reading: Reading):
        """Returns the examples as a model with this preprocessing takes them (``Source.reader``)."""
        # Each imported when asked for: images need no tokenizer, text no decoder.
        if isinstance(preprocessing, Preprocessing):
            from tlj.data.image_reader import ImageReader

            return ImageReader(self, preprocessing, reading)
        from tlj.data.tokens.reader import text_reader

        return text_reader(self, preprocessing, reading)

    def without(self, left_out: Mapping[int, Skipped]) -> Examples:
        """Returns the source without some examples, which are listed as skipped.

        Args:
          left_out: by index.
        """
        if not left_out:
            return self
        kept = np.setdiff1d(np.arange(len(self.labels)), list(left_out))
        place = np.full(len(self.labels), -1)
        place[kept] = np.arange(len(kept))
        return dataclasses.replace(
            self,
            labels=self.labels[kept],
            ids=tuple(self.ids[i] for i in kept),
            items=Chosen(self.items, kept),
            parts={name: place[part][place[part] >= 0] for name, part in self.parts.items()},
            groups=tuple(self.groups[i] for i in kept) if self.groups else (),
            skipped=(*self.skipped, *left_out.values()),
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Chosen:
    """Some of the items, by their indices."""

    items: Items
    indices: Int[np.ndarray, " chosen"]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Content:
        return self.items[int(self.indices[index])]

    def where(self, index: int) -> str:
        """Returns where an example lies."""
        return self.items.where(int(self.indices[index]))
