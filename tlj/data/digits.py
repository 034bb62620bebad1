"""``digits`` or ``digits:0-4``: classes of the handwritten digits in scikit-learn, 8x8 pixels."""

from __future__ import annotations

import re

import numpy as np

from tlj.data.fixed import ImagesInMemory
from tlj.data.images import Preprocessing
from tlj.data.settings import DataSettings
from tlj.errors import InputError


def digits(settings: DataSettings, argument: str) -> ImagesInMemory:
    """Opens the handwritten digits.

    Args:
      settings: their name.
      argument: the first and the last class, ``"5-9"``; empty for all.

    Raises:
      InputError: for another argument.
    """
    match = re.fullmatch(r"(\d)-(\d)", argument or "0-9")
    if not match or match[1] >= match[2]:
        raise InputError(
            f"{settings.source!r} does not name a range of digits",
            where="config.data.source",
            do="write for example 'digits:5-9'",
        )
    # scikit-learn takes a second to import, which a report or a wrong config should not wait for.
    from sklearn.datasets import load_digits

    raw = load_digits()
    first, last = int(match[1]), int(match[2])
    chosen = np.flatnonzero((raw.target >= first) & (raw.target <= last))
    grey = np.round(raw.images[chosen] * (255 / 16)).astype(np.uint8)
    return ImagesInMemory(
        name=settings.source,
        classes=tuple(str(digit) for digit in range(first, last + 1)),
        images=np.repeat(grey[..., None], 3, axis=-1),
        labels=(raw.target[chosen] - first).astype(np.int32),
        ids=tuple(f"digits/{index}" for index in chosen),
        preprocessing=Preprocessing(image_size=8, mean=(0.306,) * 3, std=(0.377,) * 3),
    )
