"""Strategies of one phase: which parameters train from the first step to the last."""

from __future__ import annotations

from collections.abc import Callable

from tlj.errors import InputError
from tlj.freezing.phases import FROZEN, Group, Layout, Phase, make_phase


def label_phase(layout: Layout, label: Callable[[str, int], str]) -> tuple[Phase, ...]:
    """Returns one phase in which each parameter has the label that ``label(path, depth)`` gives it."""
    labels = {path: label(path, depth) for path, depth in layout.depths.items()}
    names = sorted(set(labels.values()) - {FROZEN})
    return (make_phase(labels, [Group(name) for name in names], layout),)


def train_depths(layout: Layout, trains: Callable[[int], bool]) -> tuple[Phase, ...]:
    """Returns one phase that trains the depths for which ``trains`` holds; the head is a group of its own."""

    def label(path: str, depth: int) -> str:
        return FROZEN if not trains(depth) else "head" if depth == layout.head else "backbone"

    return label_phase(layout, label)


def full(layout: Layout) -> tuple[Phase, ...]:
    """Every parameter trains."""
    return train_depths(layout, lambda depth: True)


def linear_probe(layout: Layout) -> tuple[Phase, ...]:
    """The head alone trains, on the features of the frozen backbone (Kornblith et al. 2019, arXiv:1805.08974)."""
    return train_depths(layout, lambda depth: depth == layout.head)


def last_blocks(layout: Layout, k: int) -> tuple[Phase, ...]:
    """The last ``k`` blocks, what stands after them, and the head train (Yosinski et al. 2014, arXiv:1411.1792)."""
    check_count("last_blocks", k, layout)
    return train_depths(layout, lambda depth: depth > layout.blocks - k)


def first_blocks(layout: Layout, k: int) -> tuple[Phase, ...]:
    """The first ``k`` blocks and the head train, and not the embedding (Lee et al. 2023, arXiv:2210.11466)."""
    check_count("first_blocks", k, layout)
    return train_depths(layout, lambda depth: 1 <= depth <= k or depth == layout.head)


def blocks(layout: Layout, ends: tuple[int, int]) -> tuple[Phase, ...]:
    """Blocks ``i`` to ``j``, counted from 0 and both included, and the head train (surgical; Lee et al. 2023)."""
    first, last = ends
    if not first <= last < layout.blocks:
        end = layout.blocks - 1
        nearest = f"blocks:{min(first, last, end)}-{min(max(first, last), end)}"
        raise InputError(
            f"blocks:{first}-{last} on a model of {layout.blocks} blocks",
            where="config.strategy",
            nearest=nearest,
            do=f"blocks are counted from 0 to {end}",
        )
    return train_depths(layout, lambda depth: first + 1 <= depth <= last + 1 or depth == layout.head)


def copy_freeze(layout: Layout, n: int) -> tuple[Phase, ...]:
    """AnB (Yosinski et al. 2014): the first ``n`` blocks are copied and frozen; the rest is made anew and trains."""
    check_count("copy_freeze", n, layout)
    names = {layout.head: "head"}
    return label_phase(layout, lambda path, depth: FROZEN if depth <= n else names.get(depth, "reset"))


def copy_train(layout: Layout, n: int) -> tuple[Phase, ...]:
    """AnB+ (Yosinski et al. 2014): the first ``n`` blocks are copied, the rest is made anew, and all of it trains."""
    check_count("copy_train", n, layout)
    names = {layout.head: "head"}
    return label_phase(layout, lambda path, depth: "copied" if depth <= n else names.get(depth, "reset"))


def bias_only(layout: Layout) -> tuple[Phase, ...]:
    """The biases, those of norms too, and the head train: BitFit (Ben Zaken et al. 2022, arXiv:2106.10199).

    A BatchNorm whose bias trains is in its group's norm mode, ``"train"`` unless told, though its scale is frozen.
    """
    return _kind_only("bias_only", layout, "biases", lambda path: path.endswith("bias"))


def norm_only(layout: Layout) -> tuple[Phase, ...]:
    """The scales and biases of norms and the head train (Frankle et al. 2021, arXiv:2003.00152)."""
    return _kind_only("norm_only", layout, "norms", lambda path: path in layout.norms)


def lora(layout: Layout, rank: int) -> tuple[Phase, ...]:
    """Low-rank adapters and the head train (Hu et al. 2021, arXiv:2106.09685); ``tlj.models.lora`` has added them.

    Args:
      layout: with the adapters.
      rank: theirs; not read here.
    """
    names = {layout.head: "head"}
    return label_phase(layout, lambda path, depth: "lora" if path.startswith("lora/") else names.get(depth, FROZEN))


def _kind_only(name: str, layout: Layout, group: str, is_kind: Callable[[str], bool]) -> tuple[Phase, ...]:
    """One phase that trains the head and one kind of parameter of the backbone."""
    if not any(is_kind(path) for path, depth in layout.depths.items() if depth != layout.head):
        raise InputError(
            f"{name} on a model whose backbone has no {group}", where="config.strategy", do="use another strategy"
        )

    def label(path: str, depth: int) -> str:
        return "head" if depth == layout.head else group if is_kind(path) else FROZEN

    return label_phase(layout, label)


def check_count(name: str, count: int, layout: Layout) -> None:
    """Checks a number of blocks.

    Raises:
      InputError: where the model has not so many, or none is asked for.
    """
    if not 1 <= count <= layout.blocks:
        raise InputError(
            f"{name}:{count} on a model of {layout.blocks} blocks",
            where="config.strategy",
            nearest=f"{name}:{min(max(count, 1), layout.blocks)}",
            do="give a number of blocks that the model has",
        )
