"""Labelled data by name: ``digits`` or ``digits:0-4`` (the classes of the handwritten digits in scikit-learn).

The schemes that are made of noise, ``synthetic`` and ``synthetic_text``, are in ``tlj.data.synthetic``.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import re
from typing import Protocol

import numpy as np
from jaxtyping import Int, UInt8

from tlj.data.images import Preprocessing
from tlj.data.synthetic import synthetic_images, synthetic_text
from tlj.data.text import TextPreprocessing
from tlj.errors import InputError, unknown_name


class Source(Protocol):
    """What the rest of tlj asks of a data set: labels up front, examples by index, whenever and as often as wanted.

    Attributes:
      name: as the config gave it.
      classes: class names; a label is an index into them.
      labels: the label of every example.
      ids: a name for every example, unique in the source and stable over time.
      digest: hash of the content.
      preprocessing: what a model without a checkpoint should apply.
    """

    name: str
    classes: tuple[str, ...]
    labels: Int[np.ndarray, " examples"]
    ids: tuple[str, ...]
    digest: str
    preprocessing: Preprocessing | TextPreprocessing

    def batch(self, indices: Int[np.ndarray, " batch"]) -> dict[str, np.ndarray]:
        """Returns ``label`` (int32) and the examples at ``indices``.

        Images are ``image`` (uint8). Text is ``input_ids`` (int32, padded to one length) and, where the source tells,
        ``attention_mask`` and ``token_type_ids``.
        """


@dataclasses.dataclass(frozen=True, eq=False)
class ImagesInMemory:
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

    def batch(self, indices: Int[np.ndarray, " batch"]) -> dict[str, np.ndarray]:
        """Returns ``image`` (uint8) and ``label`` (int32) of the examples at ``indices``."""
        return {"image": self.images[indices], "label": self.labels[indices]}


def _digits(name: str, argument: str) -> ImagesInMemory:
    match = re.fullmatch(r"(\d)-(\d)", argument or "0-9")
    if not match or match[1] >= match[2]:
        raise InputError(
            f"{name!r} does not name a range of digits", where="config.data.source", do="write for example 'digits:5-9'"
        )
    # scikit-learn takes a second to import, which a report or a wrong config should not wait for.
    from sklearn.datasets import load_digits

    raw = load_digits()
    first, last = int(match[1]), int(match[2])
    chosen = np.flatnonzero((raw.target >= first) & (raw.target <= last))
    grey = np.round(raw.images[chosen] * (255 / 16)).astype(np.uint8)
    return ImagesInMemory(
        name=name,
        classes=tuple(str(digit) for digit in range(first, last + 1)),
        images=np.repeat(grey[..., None], 3, axis=-1),
        labels=(raw.target[chosen] - first).astype(np.int32),
        ids=tuple(f"digits/{index}" for index in chosen),
        preprocessing=Preprocessing(image_size=8, mean=(0.306,) * 3, std=(0.377,) * 3),
    )


_SCHEMES = {"digits": _digits, "synthetic": synthetic_images, "synthetic_text": synthetic_text}


@functools.lru_cache(maxsize=4)
def open_source(name: str) -> Source:
    """Opens a source by name, ``scheme[:argument]``; the same name gives the same object while it is in use.

    Args:
      name: for example ``"digits:5-9"``.

    Raises:
      InputError: for a scheme that does not exist or an argument that it does not take.
    """
    scheme, _, argument = name.partition(":")
    if scheme not in _SCHEMES:
        raise unknown_name("data source", scheme, _SCHEMES, where="config.data.source")
    return _SCHEMES[scheme](name, argument)
