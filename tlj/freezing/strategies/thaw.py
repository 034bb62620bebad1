"""Strategies of several phases: what trains changes with time."""

from __future__ import annotations

import dataclasses
import math

from tlj.errors import InputError
from tlj.freezing.phases import FROZEN, Group, Layout, Phase, Plateau, make_phase
from tlj.freezing.settings import Timing
from tlj.freezing.strategies.choose import full, linear_probe

When = int | str


def lp_ft(layout: Layout, timing: Timing, when: When = "plateau") -> tuple[Phase, ...]:
    """The head trains first, to convergence or for some steps, then everything (Kumar et al. 2022, arXiv:2202.10054).

    Args:
      layout: of the model.
      timing: of the run.
      when: the step at which the backbone joins, or ``"plateau"``: when the validation loss stops falling.
    """
    (probe,), (everything,) = linear_probe(layout), full(layout)
    return probe, dataclasses.replace(everything, start=_start("lp_ft", 1, when, timing))


def gradual(layout: Layout, timing: Timing, when: When) -> tuple[Phase, ...]:
    """One depth after the other joins, from the head down (ULMFiT; Howard & Ruder 2018, arXiv:1801.06146, section 3.3).

    Args:
      layout: of the model.
      timing: of the run.
      when: the number of steps from one depth to the next, or ``"plateau"``: when the validation loss stops falling.
    """
    depths = sorted(set(layout.depths.values()), reverse=True)
    last = (len(depths) - 1) * when if isinstance(when, int) else 0
    if last >= timing.steps:
        raise InputError(
            f"gradual:{when} reaches the embedding after {last} steps, but the run has {timing.steps}",
            where="config.strategy",
            nearest=f"gradual:{max((timing.steps - 1) // (len(depths) - 1), 1)}",
            do="thaw sooner, or use more steps",
        )
    return tuple(
        _from_depth(layout, lowest, {}, _start("gradual", index, when, timing)) for index, lowest in enumerate(depths)
    )


def freeze_out(layout: Layout, timing: Timing, first: float = 0.8, scaling: str = "scaled") -> tuple[Phase, ...]:
    """One depth after the other freezes, from the embedding up: FreezeOut (Brock et al. 2017, arXiv:1706.04983).

    Depth i of L trains for the cube of ``first`` + (1 - ``first``) i / L of the steps, on a cosine of that length; then
    it is frozen, and the steps that follow are cheaper.

    Args:
      layout: of the model.
      timing: of the run.
      first: the cube root of the embedding's share of the steps, 0 < first < 1.
      scaling: ``"scaled"`` divides a depth's learning rate by its share, so that all cover the same distance;
        ``"unscaled"`` does not.
    """
    depths = sorted(set(layout.depths.values()))
    shares = {depth: (first + (1 - first) * depth / layout.head) ** 3 for depth in depths}
    ends = {depth: math.ceil(round(timing.steps * share, 6)) for depth, share in shares.items()}
    if min(ends.values()) < 1:
        raise InputError(
            f"freeze_out:{first} would freeze the embedding before its first of {timing.steps} steps",
            where="config.strategy",
            nearest="freeze_out:0.8",
            do="give a larger share, or use more steps",
        )
    groups = {
        depth: Group(
            _depth_name(depth, layout),
            learning_rate_factor=1 / share if scaling == "scaled" else 1.0,
            schedule="cosine",
            schedule_steps=ends[depth],
            warmup_steps=0,
        )
        for depth, share in shares.items()
    }
    starts = sorted({0, *(end for depth, end in ends.items() if depth != layout.head and end < timing.steps)})
    lowest = {start: min(depth for depth in depths if ends[depth] > start) for start in starts}
    return tuple(_from_depth(layout, lowest[start], groups, start) for start in starts)


def _depth_name(depth: int, layout: Layout) -> str:
    return "head" if depth == layout.head else f"depth{depth}"


def _from_depth(layout: Layout, lowest: int, groups: dict[int, Group], start: int | Plateau) -> Phase:
    """A phase that trains every depth from the lowest up, each as a group of its own."""
    labels = {p: _depth_name(d, layout) if d >= lowest else FROZEN for p, d in layout.depths.items()}
    trained = sorted({depth for depth in layout.depths.values() if depth >= lowest})
    return make_phase(labels, [groups.get(d, Group(_depth_name(d, layout))) for d in trained], layout, start)


def _start(name: str, index: int, when: When, timing: Timing) -> int | Plateau:
    """The start of phase ``index``; the first is at 0 whatever the others wait for."""
    if index == 0:
        return 0
    if isinstance(when, int):
        return index * when
    if timing.plateau is None:
        raise InputError(
            f"{name} waits for a plateau of the validation loss, but nothing is validated during training",
            where="config.evaluate.every",
            do=f"set it to a number of steps, or write {name}:STEPS",
        )
    if timing.earliest(index) >= timing.steps:
        raise InputError(
            f"{name} waits for {index} plateau{'s' if index > 1 else ''}, which with a validation every "
            f"{timing.validate_every} steps and a patience of {timing.plateau.patience} cannot have come before step "
            f"{timing.earliest(index)}, but the run has {timing.steps} steps",
            where="config.evaluate.every",
            do=f"validate more often, lower config.plateau.patience, use more steps, or write {name}:STEPS",
        )
    return timing.plateau
