"""What an audit knows of every image: its file, its size, and what it is a copy of."""

from __future__ import annotations

import concurrent.futures
import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int

from tlj.audit.copies import IDENTICAL, NEAR, SAME_PIXELS, Copies, same_content
from tlj.audit.near_images import SMALLEST, near_images
from tlj.audit.thumbnails import SIDE, ImageFacts, image_facts
from tlj.data.examples import Items
from tlj.data.settings import Skipped
from tlj.data.threads import thread_count
from tlj.errors import InputError

_STRETCH = 2048


@dataclasses.dataclass(frozen=True, eq=False)
class ImageTable:
    """Facts of the images that could be read.

    Attributes:
      indices: of them in the source.
      facts: of each.
      unreadable: the others, by index.
    """

    indices: Int[np.ndarray, " n"]
    facts: Sequence[ImageFacts]
    unreadable: dict[int, Skipped]

    def column(self, name: str) -> np.ndarray:
        """Returns one field of all the facts as an array."""
        return np.array([getattr(facts, name) for facts in self.facts])


def read_images(items: Items, indices: Int[np.ndarray, " n"]) -> ImageTable:
    """Looks at every image once, in as many threads as there are cores.

    Args:
      items: the images.
      indices: which of them.
    """
    facts, unreadable = {}, {}

    def look(index: int) -> ImageFacts | Skipped:
        try:
            return image_facts(items[index], items.where(index))
        except InputError as error:
            return Skipped(items.where(index), error.what)

    with concurrent.futures.ThreadPoolExecutor(thread_count()) as pool:
        for start in range(0, len(indices), _STRETCH):
            part = [int(index) for index in indices[start : start + _STRETCH]]
            for index, seen in zip(part, pool.map(look, part), strict=True):
                (unreadable if isinstance(seen, Skipped) else facts)[index] = seen
    return ImageTable(np.array(list(facts), np.int64), list(facts.values()), unreadable)


def image_copies(table: ImageTable, in_train: Bool[np.ndarray, " n"]) -> list[Copies]:
    """Returns which images are copies, the strictest way of being one first.

    Args:
      table: the images.
      in_train: which of them are in training.
    """
    identical = same_content(IDENTICAL, table.column("content"), in_train)
    same = same_content(SAME_PIXELS, table.column("pixels"), in_train)
    representative = np.unique(same.groups, return_index=True)[1]
    small = np.minimum(table.column("width"), table.column("height")) < SMALLEST
    group_in_train = same.partner[representative] >= 0
    near = near_images(
        np.array([table.facts[index].thumbnail for index in representative], np.uint8).reshape(-1, SIDE, SIDE),
        ~np.logical_or(table.column("flat"), small)[representative],
        group_in_train,
    )
    # From distinct images back to all: what one is like, its copies are like.
    likeness = np.where(same.partner >= 0, 1, near.likeness[same.groups]).astype(np.float32)
    nearest = near.nearest[same.groups]
    partner = np.where(
        same.partner >= 0, same.partner, np.where(nearest >= 0, same.partner[representative[nearest]], -1)
    )
    mirrored = near.mirrored[same.groups] & (same.partner < 0)
    return [identical, same, Copies(NEAR, near.groups[same.groups], partner, likeness, mirrored)]
