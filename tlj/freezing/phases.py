"""Phases: which parameters train, in which groups, and from when; every parameter is labelled exactly once."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Hashable, Mapping, Sequence

from tlj.errors import InputError

FROZEN = "frozen"
NORM_MODES = ("frozen", "adapt", "train")
DECAYS = ("kernels", "all")


@dataclasses.dataclass(frozen=True)
class Layout:
    """What a strategy may know of a model: its parameters by path, the depth of each, and its norms.

    Attributes:
      depths: depth by path: 0 for the embedding, 1 to ``blocks`` for the blocks, ``blocks`` + 1 for the head.
      blocks: number of blocks of the backbone.
      statistics: paths of the modules that keep running statistics.
    """

    depths: Mapping[str, int]
    blocks: int
    statistics: tuple[str, ...] = ()

    @property
    def head(self) -> int:
        """The depth of the head."""
        return self.blocks + 1

    @functools.cached_property
    def norms(self) -> frozenset[str]:
        """The paths of the parameters of norms: every scale, and the bias beside it."""
        modules = {path.rpartition("/")[0] for path in self.depths if path.endswith("/scale")}
        return frozenset(path for path in self.depths if path.rpartition("/")[0] in modules)


@dataclasses.dataclass(frozen=True)
class Group:
    """Parameters that share a schedule. None stands for what the config says (``tlj.freezing.settings`` fills it in).

    Attributes:
      name: what the label table calls it; never ``"frozen"``.
      learning_rate_factor: what the configured learning rate is multiplied by; above 0.
      learning_rate: the peak rate, which follows from the factor.
      weight_decay: decoupled decay per step and unit of learning rate.
      decays: ``"kernels"``, which leaves biases, norms and embeddings out, or ``"all"``.
      optimizer: a key of ``tlj.freezing.optimizer.DIRECTIONS``.
      schedule: a key of ``tlj.freezing.schedules.SCHEDULES``.
      schedule_steps: length of the schedule.
      warmup_steps: length of the linear warm-up.
      norm_mode: ``"train"`` normalises with batch statistics, moves the running ones and trains the norm's parameters;
        ``"adapt"`` does all that but train the parameters; ``"frozen"`` does none of it.
      dropout: whether dropout and stochastic depth are on among its parameters.
    """

    name: str
    learning_rate_factor: float = 1.0
    learning_rate: float | None = None
    weight_decay: float | None = None
    decays: str = "kernels"
    optimizer: str | None = None
    schedule: str | None = None
    schedule_steps: int | None = None
    warmup_steps: int | None = None
    norm_mode: str = "train"
    dropout: bool = True


@dataclasses.dataclass(frozen=True)
class Plateau:
    """The start of a phase when the validation loss has stopped falling since the phase before it began.

    Attributes:
      patience: validations in a row that bring no new lowest loss.
      min_delta: by how much a loss must be lower to count, in nats.
    """

    patience: int = 3
    min_delta: float = 0.0

    def __str__(self) -> str:
        return f"a plateau ({self.patience} validations without a lower loss)"


@dataclasses.dataclass(frozen=True)
class Phase:
    """A stretch of steps in which the set of trained parameters does not change.

    Attributes:
      labels: (path, group name or ``"frozen"``) for every parameter, sorted by path.
      groups: the groups that the labels name.
      start: the step at which the phase begins, or what it waits for.
      adapting: norms whose statistics move while their parameters are frozen.
    """

    labels: tuple[tuple[str, str], ...]
    groups: tuple[Group, ...]
    start: int | Plateau = 0
    adapting: tuple[str, ...] = ()

    @functools.cached_property
    def label_of(self) -> dict[str, str]:
        """The label of each path."""
        return dict(self.labels)

    @functools.cached_property
    def trained(self) -> tuple[str, ...]:
        """The paths that train, sorted."""
        return tuple(path for path, label in self.labels if label != FROZEN)

    @functools.cached_property
    def digest(self) -> str:
        """A short hash of everything that the phase fixes; a checkpoint of another phase has another."""
        return hashlib.sha256(repr((self.labels, self.groups, self.adapting)).encode()).hexdigest()[:16]

    @functools.cached_property
    def structure(self) -> Hashable:
        """What of the phase is compiled into a step: everything but when it starts and the numbers of its groups."""
        groups = tuple((g.name, g.decays, g.optimizer, g.schedule, g.norm_mode, g.dropout) for g in self.groups)
        return self.labels, groups, self.adapting

    def group(self, label: str) -> Group:
        """Returns the group that a label names."""
        return next(group for group in self.groups if group.name == label)


def make_phase(labels: Mapping[str, str], groups: Sequence[Group], layout: Layout, start: int | Plateau = 0) -> Phase:
    """Builds a phase and checks that it labels every parameter of the layout exactly once.

    Args:
      labels: from path to group name or ``"frozen"``.
      groups: the groups; each must have at least one parameter.
      layout: the paths to be covered.
      start: the step at which the phase begins, or the plateau that it waits for.

    Raises:
      InputError: listing every unlabelled or unknown path, unknown label, empty group, unknown mode and rate of zero.
    """
    names = [group.name for group in groups]
    problems = [f"no label for {path}" for path in sorted(set(layout.depths) - set(labels))]
    problems += [f"{path} is no parameter" for path in sorted(set(labels) - set(layout.depths))]
    problems += [f"{path} has the unknown label {label!r}" for path, label in sorted(labels.items())
                 if label not in (*names, FROZEN)]  # fmt: skip
    problems += [f"group {name!r} has no parameters" for name in names if name not in labels.values()]
    problems += [f"group {group.name!r} has the unknown norm mode {group.norm_mode!r}" for group in groups
                 if group.norm_mode not in NORM_MODES]  # fmt: skip
    problems += [f"group {group.name!r} has the learning-rate factor {group.learning_rate_factor}; label it "
                 f"{FROZEN!r} instead" for group in groups if not group.learning_rate_factor > 0]  # fmt: skip
    if FROZEN in names:
        problems.append(f"a group is named {FROZEN!r}, which is the label of what does not train")
    if len(set(names)) != len(names):
        problems.append(f"two groups share a name among {names}")
    if problems:
        raise InputError("; ".join(problems), where="phase", do="label every parameter once, as a group or frozen")
    return Phase(tuple(sorted(labels.items())), tuple(groups), start)


def check_phases(phases: Sequence[Phase], steps: int, *, where: str = "config.strategy") -> tuple[Phase, ...]:
    """Checks that phases follow each other within a run, and that a thaw can tell fresh moments from kept ones.

    Args:
      phases: by start.
      steps: of the run.
      where: the config key, for the error.

    Raises:
      InputError: for a phase that would start before the one before it, or not before the run ends; for one that
        trains nothing; and for a group that takes in new parameters, whose step count they would share.
    """
    starts = [phase.start for phase in phases if not isinstance(phase.start, Plateau)]
    if starts != sorted(set(starts)) or starts[:1] != [0] or isinstance(phases[0].start, Plateau):
        raise InputError(f"phases start at {starts}", where=where, do="start the first at 0 and each after the last")
    if starts[-1] >= steps:
        raise InputError(
            f"the last phase would start at step {starts[-1]}, but the run has {steps} steps",
            where=where,
            do="use more steps, or start the phases sooner",
        )
    for index, phase in enumerate(phases):
        if not phase.trained:
            raise InputError(f"phase {index} trains nothing", where=where, do="label something with a group")
        if index and phase.trained == phases[index - 1].trained and phase.groups == phases[index - 1].groups:
            raise InputError(f"phase {index} is the phase before it", where=where, do="leave one of them out")
        for name in {group.name for group in phase.groups} & {g.name for g in phases[index - 1].groups if index}:
            grown = _paths(phase, name) - _paths(phases[index - 1], name)
            if grown:
                raise InputError(
                    f"group {name!r} takes in new parameters in phase {index}: {', '.join(sorted(grown))}",
                    where=where,
                    do="give what is newly trained a group of its own",
                )
    return tuple(phases)


def _paths(phase: Phase, label: str) -> set[str]:
    return {path for path, name in phase.labels if name == label}
