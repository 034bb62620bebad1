"""Sources whose examples have the arrays of a model already: in memory, or drawn when asked for."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from jaxtyping import Int, UInt8

from tlj.data.images import Preprocessing
from tlj.data.settings import Reading, Skipped
from tlj.data.text import TextPreprocessing


class FixedSource:
    """What such sources have in common: no splits, groups or skipped examples, and each is its own reader."""

    groups: ClassVar[Sequence[str]] = ()
    parts: ClassVar[Mapping[str, Int[np.ndarray, " part"]]] = {}
    skipped: ClassVar[tuple[Skipped, ...]] = ()
    lengths: ClassVar[None] = None
    in_memory: ClassVar[bool] = True
    by_length: ClassVar[bool] = False
    preprocessing: Preprocessing | TextPreprocessing

    @property
    def kind(self) -> str:
        """``"images"`` or ``"text"``."""
        return self.preprocessing.kind

    def reader(self, preprocessing: Preprocessing | TextPreprocessing, reading: Reading) -> FixedSource:
        """Returns itself: the arrays are there, and whether they fit a model was asked before."""
        return self


@dataclasses.dataclass(frozen=True, eq=False)
class ImagesInMemory(FixedSource):
    """A source whose images all fit in memory as one array; the fields are those of ``Source``."""

    name: str
    classes: tuple[str, ...]
    images: UInt8[np.ndarray, "examples height width 3"]
    labels: Int[np.ndarray, " examples"]
    ids: tuple[str, ...]
    preprocessing: Preprocessing

    @functools.cached_property
    def digest(self) -> str:
        """Hash of images, labels and class names."""
        content = hashlib.sha256(repr(self.classes).encode())
        content.update(np.ascontiguousarray(self.images))
        content.update(np.ascontiguousarray(self.labels))
        return content.hexdigest()[:16]

    def batch(self, indices: Int[np.ndarray, " batch"], rows: slice = slice(None)) -> dict[str, np.ndarray]:
        """Returns ``image`` (uint8) and ``label`` (int32) of the examples at ``indices[rows]``."""
        return {"image": self.images[indices[rows]], "label": self.labels[indices[rows]]}
