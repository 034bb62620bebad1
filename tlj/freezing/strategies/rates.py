"""Discriminative fine-tuning: a learning rate that decays from the head down to the embedding."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from tlj.freezing.phases import FROZEN, Group, Layout, Phase, make_phase
from tlj.freezing.strategies.choose import full


@dataclasses.dataclass(frozen=True)
class Decay:
    """The factor of each depth: ``factor`` to the power of its distance from the head.

    Attributes:
      factor: per depth, 0 < factor <= 1.
      below_head: distance of the last block from the head.
    """

    factor: float
    below_head: int = 1

    def of(self, depth: int, layout: Layout) -> float:
        """Returns the factor of a depth."""
        return 1.0 if depth == layout.head else self.factor ** (layout.blocks - depth + self.below_head)


# ULMFiT divides by 2.6 per layer (Howard & Ruder 2018, arXiv:1801.06146, section 3.2). ELECTRA (Clark et al. 2020,
# released code) counts the head two above the last block, BEiT (Bao et al. 2022, released code) and MAE one.
PRESETS = {
    "ulmfit": Decay(1 / 2.6),
    "electra": Decay(0.8, below_head=2),
    "electra_large": Decay(0.9, below_head=2),
    "beit": Decay(0.65),
    "beit_large": Decay(0.75),
}


def parse_decay(text: str) -> Decay:
    """Returns the decay that a preset's name or a factor such as ``"0.75"`` names.

    Raises:
      ValueError: for neither.
    """
    if text in PRESETS:
        return PRESETS[text]
    if not 0 < float(text) <= 1:
        raise ValueError(text)
    return Decay(float(text))


def discriminative(layout: Layout, decay: Decay = PRESETS["ulmfit"]) -> tuple[Phase, ...]:
    """Everything trains, each depth at a rate of its own."""
    return decay_by_depth(full(layout), layout, decay)


def decay_by_depth(phases: Sequence[Phase], layout: Layout, decay: Decay) -> tuple[Phase, ...]:
    """Returns phases whose groups are split by depth, each with the factor of its depth on top of its own.

    Args:
      phases: of any strategy.
      layout: of the model.
      decay: the factors.
    """
    return tuple(_decayed(phase, layout, decay) for phase in phases)


def _decayed(phase: Phase, layout: Layout, decay: Decay) -> Phase:
    labels, groups = {}, {}
    for path, label in phase.labels:
        depth = layout.depths[path]
        if label == FROZEN:
            labels[path] = FROZEN
            continue
        group = phase.group(label)
        name = "head" if depth == layout.head else f"depth{depth}"
        # Kinds of parameters that a strategy tells apart stay apart.
        if label not in (name, "backbone"):
            name = f"{label}_{name}"
        labels[path] = name
        factor = group.learning_rate_factor * decay.of(depth, layout)
        groups[name] = (depth, dataclasses.replace(group, name=name, learning_rate_factor=factor))
    ordered: list[Group] = [groups[name][1] for name in sorted(groups, key=lambda name: (groups[name][0], name))]
    return make_phase(labels, ordered, layout, phase.start)
