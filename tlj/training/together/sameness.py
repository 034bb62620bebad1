"""Which runs can take their steps in one program."""

from __future__ import annotations

from collections.abc import Hashable

from tlj.freezing.phases import Phase
from tlj.training.compiled import step_key
from tlj.training.read_order import order_key
from tlj.training.setup import Setup


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
