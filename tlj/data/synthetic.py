"""Data made of noise and a faint trace of its class, for step times and tests: nothing to download, any size.

``synthetic:224x1000`` holds images of 224 pixels in 1000 classes, ``synthetic_text:128x2`` sequences of 128 tokens in 2
classes. An example is drawn when it is asked for, from its own seed, so that opening a source takes no time. Where
labels are sets, that of a class is itself and the class of half its number; where they are numbers, its own.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Callable

import numpy as np
from jaxtyping import Int

from tlj.data.fixed import FixedSource
from tlj.data.images import Preprocessing
from tlj.data.label_kinds import Labels
from tlj.data.settings import DataSettings
from tlj.data.text import TextPreprocessing
from tlj.errors import InputError

# Every number below hangs on these; a change to how examples are drawn must change the first.
_SEED, _PATTERNS, _EXAMPLES = 1, 0, 1
EXAMPLES_PER_CLASS, FEWEST_EXAMPLES = 20, 512

# An image is noise of so many grey levels plus a pattern of so many, constant on a grid of so many cells a side.
_NOISE_LEVELS, _PATTERN_LEVELS, _CELLS = 128, 32, 4

VOCABULARY = 1000
PADDING_ID, FIRST_ID, FEWEST_WORD_ID = 0, 1, 5
# Each class prefers a few words of its own; they take the place of this share of the words.
_OWN_WORDS, _OWN_SHARE = 4, 0.5


@dataclasses.dataclass(frozen=True, eq=False)
class DrawnExamples(FixedSource):
    """A source whose examples are drawn whenever they are asked for; the fields are those of a ``Source``.

    Attributes:
      drawn: the class that each example is drawn from.
      draw: from an example's own random numbers and its class to its arrays.
    """

    name: str
    classes: tuple[str, ...]
    labels: Labels
    ids: tuple[str, ...]
    digest: str
    preprocessing: Preprocessing | TextPreprocessing
    drawn: Int[np.ndarray, " examples"]
    draw: Callable[[np.random.Generator, int], dict[str, np.ndarray]]

    def batch(self, indices: Int[np.ndarray, " batch"], rows: slice = slice(None)) -> dict[str, np.ndarray]:
        """Returns the arrays and the ``label`` of the examples at ``indices[rows]``."""
        indices = indices[rows]
        drawn = [self.draw(_random_numbers(_EXAMPLES, int(index)), int(self.drawn[index])) for index in indices]
        arrays = {name: np.stack([example[name] for example in drawn]) for name in drawn[0]}
        return {**arrays, "label": self.labels[indices]}


def synthetic_images(settings: DataSettings, argument: str) -> DrawnExamples:
    """Opens ``synthetic:SIZExCLASSES``: uint8 images of SIZE pixels, brighter by class in a coarse pattern.

    Args:
      settings: the name, as the config gave it.
      argument: what follows the colon.

    Raises:
      InputError: for another argument.
    """
    name = settings.source
    size, classes = _two_numbers(name, argument, "SIZExCLASSES", "synthetic:224x1000", (1, 2))
    patterns = _random_numbers(_PATTERNS).integers(0, _PATTERN_LEVELS, (classes, _CELLS, _CELLS, 3), np.uint8)
    cell = np.arange(size) * _CELLS // size

    def draw(random: np.random.Generator, label: int) -> dict[str, np.ndarray]:
        # Whole bytes, halved, are drawn several times as fast as a smaller range; input must not hold up a step.
        noise = random.integers(0, 256, (size, size, 3), np.uint8) // (256 // _NOISE_LEVELS)
        return {"image": noise + patterns[label][cell][:, cell]}

    # Mean and variance of a sum of two uniform whole numbers.
    mean = (_NOISE_LEVELS + _PATTERN_LEVELS - 2) / 2 / 255
    std = float(np.sqrt((_NOISE_LEVELS**2 + _PATTERN_LEVELS**2 - 2) / 12)) / 255
    return _source(settings, classes, Preprocessing(size, (mean,) * 3, (std,) * 3), draw)


def synthetic_text(settings: DataSettings, argument: str) -> DrawnExamples:
    """Opens ``synthetic_text:LENGTHxCLASSES``: up to LENGTH token ids, padded, some of them preferred by the class.

    Args:
      settings: the name, as the config gave it.
      argument: what follows the colon.

    Raises:
      InputError: for another argument.
    """
    name = settings.source
    length, classes = _two_numbers(name, argument, "LENGTHxCLASSES", "synthetic_text:128x2", (4, 2))
    words = VOCABULARY - FEWEST_WORD_ID

    def draw(random: np.random.Generator, label: int) -> dict[str, np.ndarray]:
        real = int(random.integers(max(length // 4, 2), length, endpoint=True))
        own = (label * _OWN_WORDS + random.integers(0, _OWN_WORDS, real)) % words
        word = np.where(random.random(real) < _OWN_SHARE, own, random.integers(0, words, real))
        ids = np.full(length, PADDING_ID, np.int32)
        ids[:real] = FEWEST_WORD_ID + word
        ids[0] = FIRST_ID
        return {"input_ids": ids, "attention_mask": (np.arange(length) < real).astype(np.int32)}

    return _source(settings, classes, TextPreprocessing(length, VOCABULARY), draw)


def _source(
    settings: DataSettings,
    classes: int,
    preprocessing: Preprocessing | TextPreprocessing,
    draw: Callable[[np.random.Generator, int], dict[str, np.ndarray]],
) -> DrawnExamples:
    name, kind = settings.source, "" if settings.task == "multiclass" else f" {settings.task}"
    examples = max(EXAMPLES_PER_CLASS * classes, FEWEST_EXAMPLES)
    drawn = (np.arange(examples) % classes).astype(np.int32)
    return DrawnExamples(
        name=name,
        classes=() if settings.task == "regression" else tuple(str(label) for label in range(classes)),
        labels=_labels(drawn, settings.task, classes),
        ids=tuple(f"{name}/{index}" for index in range(examples)),
        # The content follows from the name and the seed.
        digest=hashlib.sha256(f"{name} {_SEED}{kind}".encode()).hexdigest()[:16],
        preprocessing=preprocessing,
        drawn=drawn,
        draw=draw,
    )


def _labels(drawn: Int[np.ndarray, " examples"], task: str, classes: int) -> Labels:
    if task == "regression":
        return drawn.astype(np.float32)
    if task == "multilabel":
        return ((drawn[:, None] == np.arange(classes)) | (drawn[:, None] // 2 == np.arange(classes))).astype(np.int8)
    return drawn


def _random_numbers(*position: int) -> np.random.Generator:
    return np.random.default_rng((_SEED, *position))


def _two_numbers(name: str, argument: str, form: str, example: str, least: tuple[int, int]) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9]\d{0,5})x([1-9]\d{0,5})", argument)
    numbers = (int(match[1]), int(match[2])) if match else (0, 0)
    if numbers[0] < least[0] or numbers[1] < least[1]:
        raise InputError(
            f"{name!r} is not of the form {form} with at least {least[0]} and {least[1]}",
            where="config.data.source",
            do=f"write for example {example!r}",
        )
    return numbers
