"""``tlj.load``: a model with its variables, its sizes and the proof of where the variables came from."""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
from jaxtyping import Array, Float, Int

from tlj.data.images import Preprocessing
from tlj.data.text import TextPreprocessing
from tlj.errors import InputError
from tlj.models.registry import Spec, build
from tlj.pretrained.initialise import initial_variables
from tlj.pretrained.load_report import LoadReport
from tlj.pretrained.runs import read_run


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """A model that can be called.

    Attributes:
      module: the Linen module.
      variables: ``params`` and ``batch_stats``.
      spec: its sizes.
      preprocessing: what its images must have gone through (``tlj.data.images.normalise``), or what its text must be.
      report: what became of every leaf when it was loaded.
    """

    module: nn.Module
    variables: dict[str, Any]
    spec: Spec
    preprocessing: Preprocessing | TextPreprocessing
    report: LoadReport

    @functools.cached_property
    def _apply(self) -> Callable[..., Array]:
        return jax.jit(self.module.apply)

    def __call__(
        self, inputs: Float[Array, "batch height width 3"] | Mapping[str, Int[Array, "batch length"]]
    ) -> Float[Array, "batch classes"]:
        """Returns the logits of normalised images, or of a dict of token ids (``tlj.models.bert``), evaluating."""
        return self._apply(self.variables, dict(inputs) if isinstance(inputs, Mapping) else inputs)


def load(
    source: str | os.PathLike[str],
    init: str = "pretrained",
    num_classes: int | None = None,
    *,
    seed: int = 0,
    dtype: str = "float32",
) -> Model:
    """Loads a model from a run of tlj, or makes its twin.

    Args:
      source: a run directory, for example ``"DIR/source"``.
      init: ``"pretrained"``; ``"scratch"`` or ``"mean_var"`` for a twin of the same architecture and preprocessing.
      num_classes: outputs of a new head; None keeps the source's classes, and with ``"pretrained"`` its head.
      seed: of the new head and of what else is initialised.
      dtype: what the backbone computes in; parameters stay float32.

    Returns:
      The model; ``model(images)`` gives logits.

    Raises:
      InputError: where the source does not exist or does not fit, or there are no classes.
    """
    if num_classes is not None and num_classes < 1:
        raise InputError(
            f"num_classes = {num_classes}", where="tlj.load", do="give at least 1, or None for the source's"
        )
    found = read_run(pathlib.Path(source))
    spec = found.spec if num_classes is None else dataclasses.replace(found.spec, num_classes=num_classes)
    variables, report = initial_variables(init, spec, found, seed, keep_head=num_classes is None)
    return Model(build(spec, dtype), variables, spec, found.preprocessing, report)
