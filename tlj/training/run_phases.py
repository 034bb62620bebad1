"""The phases of a run: those of its strategy, with the rates, decay and schedules that the config gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tlj.freezing.phases import Group, Layout, Phase, Plateau
from tlj.freezing.schedules import warmup_in_steps
from tlj.freezing.settings import Timing, apply_settings
from tlj.freezing.strategies import Strategy


def run_phases(config: Mapping[str, Any], strategy: Strategy, layout: Layout, epoch_examples: int) -> tuple[Phase, ...]:
    """Returns the strategy's phases, completed by the config's optimizer and by what it says of single groups.

    Args:
      config: of the run, nested.
      strategy: of the run.
      layout: of its model.
      epoch_examples: examples that an epoch has.

    Raises:
      InputError: for settings that the strategy cannot take.
    """
    optimizer, plateau = config["optimizer"], Plateau(**config["plateau"])
    every = config["evaluate"]["every"]
    timing = Timing(config["steps"], plateau if every else None, every)
    size = config["global_batch_size"]

    def steps_of(warmup: str) -> int:
        return warmup_in_steps(warmup, batch_size=size, examples=epoch_examples)

    defaults = Group(
        "",
        learning_rate=optimizer["learning_rate"],
        # L2-SP takes the place of weight decay.
        weight_decay=0.0 if strategy.l2_sp else optimizer["weight_decay"],
        optimizer=optimizer["name"],
        schedule=optimizer["schedule"],
        schedule_steps=config["steps"],
        warmup_steps=steps_of(optimizer["warmup"]),
    )
    of_groups = {name: dict(settings) for name, settings in config["groups"].items()}
    for settings in of_groups.values():
        if "warmup" in settings:
            settings["warmup_steps"] = steps_of(settings.pop("warmup"))
    return apply_settings(strategy.phases(layout, timing, config["rules"]), layout, defaults, of_groups)
