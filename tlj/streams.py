"""Named random streams: every random choice of a run comes from one of these, derived from its seed alone.

Two arms with one seed draw the same augmentation, the same dropout keys and the same head, because a stream depends
on the seed and its own name and on nothing else: not on the strategy, not on how many numbers another stream drew.
"""

from __future__ import annotations

import zlib

import jax
import numpy as np
from jaxtyping import Array, Key, UInt32

THREEFRY = "threefry2x32"
STREAMS = ("data", "augment", "dropout", "head_init", "backbone_init", "adapter_init", "rate_finder")


def _words(seed: int, name: str, count: int = 2) -> UInt32[np.ndarray, " count"]:
    if name not in STREAMS:
        raise ValueError(f"unknown random stream {name!r}; the streams are {', '.join(STREAMS)}")
    return np.random.SeedSequence([seed, zlib.crc32(name.encode())]).generate_state(count, np.uint32)


def key(seed: int, name: str, impl: str = THREEFRY) -> Key[Array, ""]:
    """Returns the JAX key of the stream ``name`` for ``seed``; it is made on the host, so nothing is compiled for it.

    Args:
      seed: the seed of the run.
      name: one of ``STREAMS``.
      impl: what generates numbers from it, by JAX's name.

    Returns:
      A typed key. The implementation is fixed so that a run does not depend on JAX's default.
    """
    return jax.random.wrap_key_data(_words(seed, name, 2 if impl == THREEFRY else 4), impl=impl)


def generator(seed: int, name: str, *position: int) -> np.random.Generator:
    """Returns a NumPy generator for the stream ``name`` at a position such as an epoch.

    Args:
      seed: the seed of the run.
      name: one of ``STREAMS``.
      *position: further integers that select a substream, for example the epoch.
    """
    # A seed sequence takes trailing zeros for nothing, so the length goes last.
    return np.random.Generator(
        np.random.Philox(np.random.SeedSequence([*_words(seed, name).tolist(), *position, len(position)]))
    )
