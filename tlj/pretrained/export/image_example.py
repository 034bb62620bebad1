"""Classifies images with the program beside this file:  python example.py cat.jpg dog.jpg

It needs no more than this:  pip install jax flatbuffers numpy safetensors pillow
"""

from __future__ import annotations

import functools
import json
import pathlib
import sys
from typing import Any

import numpy as np
from jax import export
from PIL import Image
from safetensors.numpy import load_file

HERE = pathlib.Path(__file__).parent


@functools.cache
def model() -> dict[str, Any]:
    """Returns what is known of the model."""
    return json.loads((HERE / "model.json").read_text(encoding="utf-8"))


def pixels(path: str) -> np.ndarray:
    """Returns an image as the bytes that the program takes, resized as the model's images were."""
    told = model()["preprocessing"]
    size, resize_to = told["image_size"], told["resize_to"]
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    if not resize_to:
        edges = (size, size)
    elif not told["keep_aspect"]:
        edges = (resize_to, resize_to)
    else:
        edges = tuple(int(resize_to * edge / min(image.size)) for edge in image.size)
    resized = np.asarray(image.resize(edges, Image.Resampling[told["resample"].upper()]))
    top, left = ((edge - size) // 2 for edge in resized.shape[:2])
    return resized[top : top + size, left : left + size]


def logits(paths: list[str]) -> np.ndarray:
    """Returns the logits of images, one row for each; the features of a model without classes."""
    program = export.deserialize(bytearray((HERE / model()["program"]["file"]).read_bytes()))
    weights = load_file(HERE / model()["weights"]["file"])
    return np.asarray(program.call(weights, np.stack([pixels(path) for path in paths])))


def described(row: np.ndarray) -> str:
    """Returns what the program says of one image, the likeliest classes first."""
    if not model()["num_classes"]:
        return f"{len(row)} features: {', '.join(f'{value:.4g}' for value in row[:5])}, ..."
    shares = np.exp(row - row.max())
    names = model()["classes"] or [f"class {number}" for number in range(len(row))]
    best = np.argsort(-row, kind="stable")[:5]
    return ", ".join(f"{names[number]} {shares[number] / shares.sum():.1%}" for number in best)


if __name__ == "__main__":
    if not sys.argv[1:]:
        sys.exit(__doc__)
    for path, row in zip(sys.argv[1:], logits(sys.argv[1:]), strict=True):
        print(f"{path}: {described(row)}")
