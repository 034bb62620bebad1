"""Name maps: which arrays of a checkpoint make which leaves of a model, written once and used in both directions.

A family describes a layout as a list of ``Module``: one layer of the model and the layer, or layers, of the checkpoint
that hold its values. ``entries`` turns that into one ``Entry`` per leaf. A torch file and the msgpack file of the same
Flax class share one map: they differ in the names of a layer's arrays and in the order of axes, both known here.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Shaped

LAYOUTS = ("torch", "flax", "npz")

# Per kind of layer: the leaf of ours, its name in torch, its name in Flax, and torch's axes in our order.
_LEAVES: dict[str, tuple[tuple[str, str, str, tuple[int, ...] | None], ...]] = {
    "dense": (("params/{}/kernel", "weight", "kernel", (1, 0)), ("params/{}/bias", "bias", "bias", None)),
    "conv": (("params/{}/kernel", "weight", "kernel", (2, 3, 1, 0)), ("params/{}/bias", "bias", "bias", None)),
    "norm": (("params/{}/scale", "weight", "scale", None), ("params/{}/bias", "bias", "bias", None)),
    "batch_norm": (
        ("params/{}/scale", "weight", "scale", None),
        ("params/{}/bias", "bias", "bias", None),
        ("batch_stats/{}/mean", "running_mean", "mean", None),
        ("batch_stats/{}/var", "running_var", "var", None),
    ),
    "table": (("params/{}/embedding", "weight", "embedding", None),),
    "leaf": (("params/{}", "", "", None),),
}


@dataclasses.dataclass(frozen=True)
class Module:
    """One layer of the model and where a checkpoint holds it.

    Attributes:
      ours: path of the layer in the model, for example ``"backbone/block0/mlp/up"``.
      theirs: names of the layers in the checkpoint, in its own spelling; more than one where the model has their
        matrices stacked (``tlj.models.layers.FusedDense``).
      kind: ``dense``, ``conv``, ``norm``, ``batch_norm``, ``table`` (an embedding), ``leaf`` (``ours`` is itself one).
      flax: their names in the Flax class, where that is not ``theirs`` with slashes for dots.
    """

    ours: str
    theirs: tuple[str, ...]
    kind: str
    flax: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Entry:
    """One leaf of the model and the arrays that hold its values.

    Attributes:
      path: of the leaf: ``params/...`` or ``batch_stats/...``.
      names: of the arrays in the checkpoint, without the prefix of the class that saved them.
      shape: of the leaf.
      axes: order of a stored array's axes that makes them ours; None is as they are.
      stack: axis of the leaf along which several arrays are stacked; None where there is one array.
    """

    path: str
    names: tuple[str, ...]
    shape: tuple[int, ...]
    axes: tuple[int, ...] | None = None
    stack: int | None = None

    @property
    def part_shape(self) -> tuple[int, ...]:
        """The shape of what one stored array holds, in our order of axes."""
        return self.shape if self.stack is None else self.shape[: self.stack] + self.shape[self.stack + 1 :]

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """The shape that each stored array should have."""
        if self.axes is None:
            return self.part_shape
        return tuple(self.part_shape[self.axes.index(axis)] for axis in range(len(self.axes)))

    def fits(self, shape: Sequence[int], layout: str) -> bool:
        """Whether a stored array of this shape can be one of ours.

        The npz files keep the heads of attention as an axis of their own, so there only the number of values counts,
        and the width of what goes in or comes out.
        """
        if tuple(shape) == self.stored_shape:
            return True
        if layout != "npz" or math.prod(shape) != math.prod(self.part_shape) or len(shape) != len(self.part_shape) + 1:
            return False
        # (width, heads, head_width), (heads, head_width, width) or (heads, head_width): one end is as in ours.
        return shape[0] == self.part_shape[0] or shape[-1] == self.part_shape[-1] or len(shape) == 2

    def from_stored(self, arrays: Sequence[Shaped[np.ndarray, "..."]]) -> Shaped[np.ndarray, "..."]:
        """Returns the leaf that stored arrays make; a view where nothing has to move."""
        parts = [array if self.axes is None else array.transpose(self.axes) for array in arrays]
        parts = [part.reshape(self.part_shape) for part in parts]
        return parts[0] if self.stack is None else np.stack(parts, axis=self.stack)

    def to_stored(self, leaf: Shaped[np.ndarray, "..."]) -> list[Shaped[np.ndarray, "..."]]:
        """Returns the arrays that a leaf is stored as, in the order of ``names``; the inverse of ``from_stored``."""
        parts = [leaf] if self.stack is None else [leaf.take(i, self.stack) for i in range(len(self.names))]
        return [part if self.axes is None else part.transpose(np.argsort(self.axes)) for part in parts]


def entries(modules: Iterable[Module], shapes: Mapping[str, tuple[int, ...]], layout: str) -> tuple[Entry, ...]:
    """Returns one entry per leaf of the model.

    Args:
      modules: the layout of the checkpoint.
      shapes: of the model's leaves, by path; a bias that the model does not have gets no entry.
      layout: ``"torch"``, ``"flax"`` (a msgpack file of the Flax class) or ``"npz"`` (Flax names, heads apart).

    Raises:
      KeyError: for a leaf that no module describes, which is a mistake in the map.
    """
    found = {}
    for module in modules:
        for pattern, torch_name, flax_name, axes in _LEAVES[module.kind]:
            path = pattern.format(module.ours)
            if path not in shapes:
                continue
            is_torch = layout == "torch"
            owners = module.theirs if is_torch else module.flax or tuple(n.replace(".", "/") for n in module.theirs)
            name, separator = (torch_name, ".") if is_torch else (flax_name, "/")
            names = tuple(separator.join(part for part in (owner, name) if part) for owner in owners)
            # Kernels are (in, parts, out), biases (parts, out): the axis before the last.
            stack = len(shapes[path]) - 2 if len(names) > 1 else None
            found[path] = Entry(path, names, tuple(shapes[path]), axes if is_torch else None, stack)
    if missing := sorted(set(shapes) - set(found)):
        raise KeyError(f"the name map lacks {', '.join(missing)}")
    return tuple(found[path] for path in shapes)
