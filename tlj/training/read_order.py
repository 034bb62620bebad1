"""What decides the batches of a run, and what follows from them alone: told once for all runs that read the same."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Hashable

import numpy as np

from tlj.training.setup import Setup

# A longer run repeats itself: what its batches waste does not change any more.
MOST_BATCHES = 1000


def order_key(setup: Setup) -> Hashable:
    """Returns what decides the batches of a run: two runs with one key read the same at every step.

    Args:
      setup: of the run.
    """
    config, split = setup.config, setup.split
    examples = hashlib.blake2b(np.ascontiguousarray(split.train), digest_size=16).hexdigest()
    how = (setup.preprocessing, setup.fit.training_reading, config["data"]["balance"])
    if config["cache"]["activations"] != "none":
        # What is read are activations, which follow from what made them.
        identity = setup.pretrained.identity if setup.pretrained and setup.init != "scratch" else ""
        how = (*how, config["cache"]["views"], setup.init, identity, setup.copied)
    return (setup.source.name, setup.source.digest, examples, config["global_batch_size"], config["seed"], *how)


@dataclasses.dataclass(frozen=True)
class _Order:
    """The batches of a run, the same as those of another with its key."""

    key: Hashable
    setup: Setup = dataclasses.field(compare=False)


def padding_share(setup: Setup) -> float | None:
    """Returns the share of the tokens of training batches that were padding, over the first of them; None for images.

    It follows from the order of the batches alone, so that a run that was interrupted tells the same.

    Args:
      setup: of the run.
    """
    return _padding_share(_Order(order_key(setup), setup), min(setup.config["steps"], MOST_BATCHES))


@functools.lru_cache(maxsize=4)
def _padding_share(order: _Order, steps: int) -> float | None:
    real = all_tokens = 0
    for step in range(steps):
        batch = order.setup.batches[step]
        if "input_ids" not in batch:
            return None
        tokens = batch["segment_ids" if "segment_ids" in batch else "attention_mask"]
        real, all_tokens = real + int(np.count_nonzero(tokens)), all_tokens + tokens.size
    return 1 - real / all_tokens


def token_shapes(setup: Setup, most: int) -> tuple[tuple[int, ...], ...]:
    """Returns the shapes of the token ids of a run's first batches.

    Args:
      setup: of a run on text, which starts from inputs.
      most: batches.
    """
    return _token_shapes(_Order(order_key(setup), setup), min(setup.config["steps"], most))


@functools.lru_cache(maxsize=4)
def _token_shapes(order: _Order, steps: int) -> tuple[tuple[int, ...], ...]:
    return tuple(order.setup.batches[step]["input_ids"].shape for step in range(steps))
