"""Strategies: small pure functions from a model's layout to the phases of its training."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from tlj.errors import InputError, unknown_name
from tlj.freezing.partition import FROZEN, Group, Layout, Phase, make_phase
from tlj.pretrained.initialise import INITS


def _train_depths(layout: Layout, trains: Callable[[int], bool]) -> tuple[Phase, ...]:
    """One phase that trains the depths for which ``trains`` holds; the head is a group of its own."""
    labels = {}
    for path, depth in layout.depths.items():
        labels[path] = FROZEN if not trains(depth) else "head" if depth == layout.head else "backbone"
    groups = [Group(name) for name in ("backbone", "head") if name in labels.values()]
    return (make_phase(labels, groups, layout),)


def full(layout: Layout) -> tuple[Phase, ...]:
    """Every parameter trains."""
    return _train_depths(layout, lambda depth: True)


def linear_probe(layout: Layout) -> tuple[Phase, ...]:
    """The head alone trains, on the features of the frozen backbone (Kornblith et al. 2019, arXiv:1805.08974)."""
    return _train_depths(layout, lambda depth: depth == layout.head)


def last_blocks(layout: Layout, k: int) -> tuple[Phase, ...]:
    """The last ``k`` blocks, what stands after them, and the head train (Yosinski et al. 2014, arXiv:1411.1792)."""
    if not 1 <= k <= layout.blocks:
        raise InputError(
            f"last_blocks:{k} on a model of {layout.blocks} blocks",
            where="strategy",
            nearest=f"last_blocks:{min(max(k, 1), layout.blocks)}",
            do="give a number of blocks that the model has",
        )
    return _train_depths(layout, lambda depth: depth > layout.blocks - k)


@dataclasses.dataclass(frozen=True)
class Strategy:
    """A strategy as a config names it, for example ``last_blocks:4``.

    Attributes:
      text: the config's string.
      phases: from a layout to the phases.
      default_init: the init where the config names none.
      inits: the inits it makes sense with.
    """

    text: str
    phases: Callable[[Layout], tuple[Phase, ...]]
    default_init: str
    inits: tuple[str, ...]


# From a name to the function, the number of integer arguments, the default init and the inits that make sense.
_REGISTRY = {
    "scratch": (full, 0, "scratch", ("scratch",)),
    "full": (full, 0, "pretrained", INITS),
    "linear_probe": (linear_probe, 0, "pretrained", INITS),
    "last_blocks": (last_blocks, 1, "pretrained", INITS),
}


def parse_strategy(text: str, *, where: str = "config.strategy") -> Strategy:
    """Returns the strategy that a string like ``last_blocks:4`` names.

    Args:
      text: a name and its arguments, separated by colons.
      where: the config key, for the error.

    Raises:
      InputError: for an unknown name, or arguments that are not those it takes.

    Example:
      >>> parse_strategy("last_blocks:4").default_init
      'pretrained'
    """
    name, *arguments = str(text).split(":")
    if name not in _REGISTRY:
        raise unknown_name("strategy", name, _REGISTRY, where=where)
    function, count, default_init, inits = _REGISTRY[name]
    if len(arguments) != count or not all(argument.isdecimal() for argument in arguments):
        example = ":".join([name, *["1"] * count])
        raise InputError(
            f"strategy {text!r} takes {count} whole number(s) after the name", where=where, do=f"write {example!r}"
        )
    numbers = [int(argument) for argument in arguments]
    return Strategy(text, lambda layout: function(layout, *numbers), default_init, inits)


def resolve_init(strategy: Strategy, init: str, *, where: str = "config.init") -> str:
    """Returns the init a run uses: the one named, or the strategy's default for an empty name.

    Raises:
      InputError: for an init that does not exist or that makes no sense with the strategy.
    """
    if not init:
        return strategy.default_init
    if init not in INITS:
        raise unknown_name("init", init, INITS, where=where)
    if init not in strategy.inits:
        raise InputError(
            f"strategy {strategy.text!r} cannot start from init {init!r}",
            where=where,
            do=f"use init {' or '.join(strategy.inits)}, or the strategy 'full'",
        )
    return init
