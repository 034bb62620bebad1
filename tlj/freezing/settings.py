"""From what a strategy leaves open to complete groups: the config's optimizer, and what it says of single groups."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from tlj.errors import InputError, nearest_name
from tlj.freezing.phases import FROZEN, Group, Layout, Phase, Plateau


@dataclasses.dataclass(frozen=True)
class Timing:
    """What a strategy may know of a run besides its model.

    Attributes:
      steps: of the run.
      plateau: the rule for phases that wait for one, or None where nothing is validated during training.
      validate_every: steps between validations.
    """

    steps: int
    plateau: Plateau | None = None
    validate_every: int = 1

    def earliest(self, waits: int) -> int:
        """Returns the step at which so many plateaus, one after the other, can have come at the soonest."""
        # The first validation of a phase has nothing to be compared with.
        return waits * (self.plateau.patience + 1) * self.validate_every


def apply_settings(
    phases: Sequence[Phase], layout: Layout, defaults: Group, of_groups: Mapping[str, Mapping[str, Any]]
) -> tuple[Phase, ...]:
    """Completes the groups of phases.

    A group takes, in this order, what ``of_groups`` says of it, what its strategy says, and the defaults. Norms of a
    group whose norm mode is not ``"train"`` do not train: their parameters become frozen, and in mode ``"adapt"`` their
    statistics move.

    Args:
      phases: of the strategy.
      layout: of the model.
      defaults: a group that has everything but a name: the config's optimizer.
      of_groups: settings by group name, under the names of ``Group``'s fields; ``"frozen"`` takes ``norm_mode`` alone.

    Returns:
      Phases whose groups are complete.

    Raises:
      InputError: for a group that no phase has, or a setting of what is frozen that makes no sense.
    """
    names = {group.name for phase in phases for group in phase.groups} | {FROZEN}
    for name, settings in of_groups.items():
        where = f"config.groups.{name}"
        if name not in names:
            near, do = nearest_name(name, names), f"use one of {', '.join(sorted(names))}"
            raise InputError(f"the strategy has no group {name!r}", where=where, nearest=near, do=do)
        wrong = sorted(set(settings) - {"norm_mode"})
        if name == FROZEN and (wrong or settings["norm_mode"] == "train"):
            setting = wrong[0] if wrong else "norm_mode 'train'"
            raise InputError(
                f"{setting} of what is frozen", where=where, do="set norm_mode to adapt or frozen, or train a group"
            )
        if settings.get("norm_mode") == "adapt" and not layout.statistics:
            raise InputError(
                "norm_mode 'adapt' moves running statistics, and this model keeps none",
                where=f"{where}.norm_mode",
                do="use 'train' or 'frozen'",
            )
    return tuple(_complete(phase, layout, defaults, of_groups) for phase in phases)


def _complete(phase: Phase, layout: Layout, defaults: Group, of_groups: Mapping[str, Mapping[str, Any]]) -> Phase:
    groups = []
    for group in phase.groups:
        group = dataclasses.replace(group, **of_groups.get(group.name, {}))
        open_fields = [field.name for field in dataclasses.fields(Group) if getattr(group, field.name) is None]
        group = dataclasses.replace(group, **{name: getattr(defaults, name) for name in open_fields})
        groups.append(dataclasses.replace(group, learning_rate=defaults.learning_rate * group.learning_rate_factor))
    modes = {group.name: group.norm_mode for group in groups}
    modes[FROZEN] = of_groups.get(FROZEN, {}).get("norm_mode", FROZEN)
    statistics = set(layout.statistics)
    labels, adapting = {}, set(phase.adapting)
    for path, label in phase.labels:
        module = path.rpartition("/")[0]
        still = path in layout.norms and modes[label] != "train"
        labels[path] = FROZEN if still else label
        if still and modes[label] == "adapt" and module in statistics:
            adapting.add(module)
    empty = sorted({group.name for group in groups} - set(labels.values()))
    if empty:
        raise InputError(
            f"group {empty[0]!r} holds norms alone, and its norm mode is {modes[empty[0]]!r}",
            where=f"config.groups.{empty[0]}.norm_mode",
            do="use norm mode 'train', or another strategy",
        )
    return Phase(tuple(sorted(labels.items())), tuple(groups), phase.start, tuple(sorted(adapting)))
