"""``tlj.load``: a model with its variables, its sizes and the proof of where the variables came from."""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import flax.linen as nn
import jax
from jaxtyping import Array, Float, Int

from tlj.data.images import Preprocessing
from tlj.data.text import TextPreprocessing
from tlj.errors import InputError, unknown_name
from tlj.models.registry import Spec, build
from tlj.pretrained.formats.tokenizer_files import open_tokenizer
from tlj.pretrained.initialise import initial_variables
from tlj.pretrained.load_report import LoadReport
from tlj.pretrained.locate import read_source

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

DTYPES = ("float32", "bfloat16")

Inputs = Float[Array, "batch height width 3"] | Mapping[str, Int[Array, "batch length"]]


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """A model that can be called.

    Attributes:
      module: the Linen module.
      variables: ``params`` and ``batch_stats``.
      spec: its sizes; ``num_classes`` is 0 for a model without a head, which gives its features.
      preprocessing: what its images must have gone through (``tlj.data.images``), or what its text must be.
      report: what became of every leaf when it was loaded.
      classes: names of the classes; empty where nobody tells.
      task: what its outputs say: ``"multiclass"``, ``"binary"`` (two logits), ``"multilabel"`` (a logit for each class,
        by itself) or ``"regression"`` (a number in the unit of the labels); empty where nobody tells.
      files: that travel with the model, by name: those of its tokenizer.
      location: where its source was found; empty for a model that was not loaded.
      identity: hash of what was there.
      step: of the checkpoint of a run; None for a source of another origin.
    """

    module: nn.Module
    variables: dict[str, Any]
    spec: Spec
    preprocessing: Preprocessing | TextPreprocessing
    report: LoadReport
    classes: tuple[str, ...] = ()
    task: str = ""
    files: Mapping[str, pathlib.Path] = dataclasses.field(default_factory=dict)
    location: str = ""
    identity: str = ""
    step: int | None = None

    @functools.cached_property
    def _apply(self) -> Callable[..., Array]:
        return jax.jit(self.module.apply)

    @functools.cached_property
    def _capture(self) -> Callable[..., tuple[Array, dict[str, Any]]]:
        return jax.jit(functools.partial(self.module.apply, capture_intermediates=True, mutable=["intermediates"]))

    def __call__(self, inputs: Inputs) -> Float[Array, "batch classes"]:
        """Returns the logits of normalised images, or of a dict of token ids (``tlj.models.bert``), evaluating."""
        return self._apply(self.variables, _plain(inputs))

    def hidden_states(self, inputs: Inputs) -> dict[str, Float[Array, "batch ..."]]:
        """Returns what each layer of the backbone gives: ``embedding``, ``block0``, ``block1``, ..., then what follows.

        A layer is a module: the stem of a ResNet (``embedding``) is told before its activation and pooling, the pooler
        of a transformer before its tanh.

        Args:
          inputs: as the model takes them.
        """
        _, captured = self._capture(self.variables, _plain(inputs))
        layers = captured["intermediates"]["backbone"]
        found = {name: layer["__call__"][0] for name, layer in layers.items() if name != "__call__"}
        blocks = [f"block{i}" for i in range(self.spec.depth)]
        order = ["embedding", *blocks, *(name for name in found if name not in ("embedding", *blocks))]
        return {name: found[name] for name in order}

    @functools.cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer that travels with the model, opened when it is first asked for; InputError where none does."""
        return open_tokenizer(self.files)


def _plain(inputs: Inputs) -> Inputs:
    return dict(inputs) if isinstance(inputs, Mapping) else inputs


def _check_arguments(num_classes: object, dtype: object, allow_missing: object) -> None:
    is_number = isinstance(num_classes, int) and not isinstance(num_classes, bool)
    if num_classes is not None and not (is_number and num_classes >= 1):
        raise InputError(
            f"num_classes = {num_classes!r}", where="tlj.load", do="give at least 1, or None for the source's"
        )
    if dtype not in DTYPES:
        raise unknown_name("dtype", str(dtype), DTYPES, where="tlj.load")
    if isinstance(allow_missing, str):
        # Of text, each letter would be a pattern.
        raise InputError(
            f"allow_missing = {allow_missing!r} is not a list", where="tlj.load", do=f"give [{allow_missing!r}]"
        )


def load(
    source: str | os.PathLike[str],
    init: str = "pretrained",
    num_classes: int | None = None,
    *,
    seed: int = 0,
    dtype: str = "float32",
    step: int | str = "latest",
    allow_missing: Sequence[str] = (),
    **overrides: Any,
) -> Model:
    """Loads a model from a checkpoint, or makes its twin.

    Args:
      source: a directory in the Hugging Face layout or a hub id (ViT, ResNet, BERT), an ``.npz`` file of a ViT, a
        ``.safetensors`` file of a ResNet under torch names, or a run of tlj, for example ``"DIR/source"``.
      init: ``"pretrained"``; ``"scratch"`` or ``"mean_var"`` for a twin of the same architecture and preprocessing.
      num_classes: outputs of a new head; None keeps the source's classes, and with ``"pretrained"`` its head. A source
        without a head gives a model without one, which returns its features.
      seed: of the new head and of what else is initialised.
      dtype: what the backbone computes in, ``"float32"`` or ``"bfloat16"``; parameters stay float32.
      step: of a run: ``"latest"``, ``"best"`` (by its ``checkpoint.metric``) or a number.
      allow_missing: regular expressions of names that may be missing, extra or of another shape.
      **overrides: settings of the model (``image_size=384``, ``pool="mean"``) or of its preprocessing (``mean=...``);
        for a file that does not tell its variant, all that is not plain from its shapes.

    Returns:
      The model; ``model(images)`` gives logits.

    Raises:
      InputError: where the source does not exist or does not fit, or there are no classes.
    """
    _check_arguments(num_classes, dtype, allow_missing)
    found = read_source(source, overrides=overrides, allow_missing=allow_missing, step=step)
    spec = found.spec if num_classes is None else dataclasses.replace(found.spec, num_classes=num_classes)
    variables, report = initial_variables(init, spec, found, seed, keep_head=num_classes is None)
    return Model(
        build(spec, dtype),
        variables,
        spec,
        found.preprocessing,
        report,
        classes=found.classes if num_classes is None else (),
        task=found.task if num_classes is None else "",
        files=found.files,
        location=found.location,
        identity=found.identity,
        step=found.step,
    )
