"""Small data sets with planted faults: textured scenes that differ, and what becomes of copies of them."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from tlj.data.examples import Examples

CLASSES = ("ant", "bee")


class Held:
    """Items held in memory."""

    def __init__(self, items):
        self.items = list(items)

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]

    def where(self, index):
        return f"item {index}"


def scene(seed: int, size: tuple[int, int] = (96, 80)) -> Image.Image:
    """A picture with structure at every scale, as a photograph has; another seed is another picture."""
    random = np.random.default_rng(seed)
    layers = [
        np.asarray(
            Image.fromarray(random.integers(0, 256, (cells, cells, 3), np.uint8)).resize(
                size, Image.Resampling.BICUBIC
            ),
            float,
        )
        for cells in (3, 6, 12, 24)
    ]
    return Image.fromarray(np.average(layers, axis=0, weights=(4, 3, 2, 1)).astype(np.uint8))


def coded(image: Image.Image, kind: str = "JPEG", **options) -> bytes:
    """The file of a picture."""
    file = io.BytesIO()
    image.save(file, kind, **({"quality": 92} if kind == "JPEG" else {}) | options)
    return file.getvalue()


COPIES = {
    "re-encoded": lambda image: coded(image, quality=40),
    "half the size": lambda image: coded(image.resize((48, 40), Image.Resampling.BILINEAR)),
    "enlarged": lambda image: coded(image.resize((160, 133), Image.Resampling.BICUBIC)),
    "brighter": lambda image: coded(ImageEnhance.Brightness(image).enhance(1.15)),
    "darker": lambda image: coded(ImageEnhance.Brightness(image).enhance(0.7)),
    "flatter": lambda image: coded(ImageEnhance.Contrast(image).enhance(0.7)),
    "as WebP": lambda image: coded(image, "WEBP", quality=70),
    "grey": lambda image: coded(ImageOps.grayscale(image)),
}


def source(kind: str, train, test, train_labels=None, test_labels=None, classes=CLASSES, skipped=()) -> Examples:
    """A source with the splits train and test; labels alternate where none are given."""
    items = [*train, *test]
    labels = [
        label
        for given, part in ((train_labels, train), (test_labels, test))
        for label in (given if given is not None else [i % len(classes) for i in range(len(part))])
    ]
    ids = [f"train/{i}" for i in range(len(train))] + [f"test/{i}" for i in range(len(test))]
    parts = {"train": np.arange(len(train)), "test": np.arange(len(train), len(items))}
    return Examples(
        "planted", kind, classes, np.array(labels, np.int32), ids, Held(items), "0" * 16, parts, skipped=skipped
    )


def images(train, test, **how) -> Examples:
    """A source of images, given as pictures or as files."""
    files = [[one if isinstance(one, bytes | np.ndarray) else coded(one) for one in part] for part in (train, test)]
    return source("images", *files, **how)


def texts(train, test, **how) -> Examples:
    """A source of texts, given as strings or as pairs."""
    rows = [[(one,) if isinstance(one, str) else one for one in part] for part in (train, test)]
    return source("text", *rows, **how)
