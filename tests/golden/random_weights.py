"""Random values for every array of a reference model, so that nothing hides behind zeros and ones."""

from __future__ import annotations

import math
import zlib

import numpy as np


def generator(name: str) -> np.random.Generator:
    """Returns the random numbers of one checkpoint, the same in every run."""
    return np.random.default_rng(zlib.crc32(name.encode()))


def values(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Returns float32 values for an array, of a size that keeps activations near one and away from linear ranges.

    Args:
      name: of the array, with dots (torch) or slashes (Flax) between its parts.
      shape: of the array.
      rng: where the numbers come from.
    """
    *_, last = name.replace("/", ".").split(".")
    normal = rng.standard_normal(shape)
    if last in ("var", "running_var"):
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)
    if last == "scale" or (last == "weight" and len(shape) == 1):
        return (1 + 0.3 * normal).astype(np.float32)
    if last in ("kernel", "weight") and "embeddings.word" not in name and "_embeddings.weight" not in name:
        fan_in = math.prod(shape[:-1]) if last == "kernel" else math.prod(shape[1:])
        return (1.2 * normal / math.sqrt(fan_in)).astype(np.float32)
    return (0.3 * normal).astype(np.float32)


def images(name: str, batch: int, size: int) -> np.ndarray:
    """Returns normalised images, ``(batch, size, size, 3)`` in float32, in steps of an eighth: they compress well."""
    noise = generator(f"{name}/images").standard_normal((batch, size, size, 3))
    return (np.round(8 * noise) / 8).astype(np.float32)


def sentences(name: str, batch: int, length: int, vocabulary: int, types: int, padding: int) -> dict[str, np.ndarray]:
    """Returns a padded batch of token ids, with its mask and the segment of each token; one sequence is not padded.

    Args:
      name: of the checkpoint.
      batch: number of sequences.
      length: of the longest.
      vocabulary: number of token ids.
      types: number of segments.
      padding: the token id that stands where there is no token.
    """
    rng = generator(f"{name}/sentences")
    ids = rng.integers(4, vocabulary, (batch, length))
    lengths = np.concatenate([[length, 1], rng.integers(2, length, batch - 2)])
    mask = np.arange(length) < lengths[:, None]
    segments = rng.integers(0, types, (batch, length))
    return {
        "input_ids": np.where(mask, ids, padding).astype(np.int32),
        "attention_mask": mask.astype(np.int32),
        "token_type_ids": np.where(mask, segments, 0).astype(np.int32),
    }
