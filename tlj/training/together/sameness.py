"""Which runs can take their steps in one program, and which of them read the same batches."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable

import numpy as np

from tlj.freezing.phases import Phase
from tlj.training.compiled import step_key
from tlj.training.setup import Setup


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
        how = (*how, setup.init, identity, setup.copied)
    return (setup.source.name, setup.source.digest, examples, config["global_batch_size"], config["seed"], *how)


def shapes_vary(setup: Setup) -> bool:
    """Whether the batches of a run are of several shapes, and then of others than those of another seed.

    Args:
      setup: of the run; where it starts from cached features, texts of all lengths are of one shape.
    """
    if setup.source.kind != "text" or (setup.cached and setup.cached.depth == setup.spec.depth):
        return False
    return setup.training_reader.by_length or setup.config["data"]["text"]["batching"] == "packed"


def together_key(setup: Setup, phase: Phase) -> Hashable:
    """Returns what runs must have in common to take the steps of a phase in one program.

    It does not have the learning rate, the weight decay, the seed, the label budget or the number of steps in it.

    Args:
      setup: of the run.
      phase: of the run.
    """
    batches = (setup.preprocessing, setup.fit.training_reading, setup.config["global_batch_size"])
    order = order_key(setup) if shapes_vary(setup) else None
    return (*step_key(setup, phase), *batches, setup.config["data"]["balance"], setup.config["steps_per_call"], order)
