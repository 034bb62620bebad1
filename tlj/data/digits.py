"""``digits`` or ``digits:0-4``: classes of the handwritten digits in scikit-learn, 8x8 pixels."""

from __future__ import annotations

import functools
import gzip
import importlib.util
import pathlib
import re

import numpy as np
from jaxtyping import Float, Int

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
    images, target = _read()
    first, last = int(match[1]), int(match[2])
    chosen = np.flatnonzero((target >= first) & (target <= last))
    grey = np.round(images[chosen] * (255 / 16)).astype(np.uint8)
    return ImagesInMemory(
        name=settings.source,
        classes=tuple(str(digit) for digit in range(first, last + 1)),
        images=np.repeat(grey[..., None], 3, axis=-1),
        labels=(target[chosen] - first).astype(np.int32),
        ids=tuple(f"digits/{index}" for index in chosen),
        preprocessing=Preprocessing(image_size=8, mean=(0.306,) * 3, std=(0.377,) * 3),
    )


@functools.cache
def _read() -> tuple[Float[np.ndarray, "examples 8 8"], Int[np.ndarray, " examples"]]:
    """The images, 0 to 16, and their labels, as ``sklearn.datasets.load_digits`` returns them.

    The file is read as it lies in the package, because importing scikit-learn takes most of a second.
    """
    package = importlib.util.find_spec("sklearn")
    file = pathlib.Path(package.submodule_search_locations[0], "datasets", "data", "digits.csv.gz")
    if not file.exists():
        from sklearn.datasets import load_digits

        raw = load_digits()
        return raw.images, raw.target
    with gzip.open(file, "rt") as text:
        rows = np.loadtxt(text, delimiter=",")
    return rows[:, :-1].reshape(-1, 8, 8), rows[:, -1].astype(int)
