"""What a family of transformers is: how its config.json and the names of its arrays stand for ours, both ways."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tlj.errors import InputError
from tlj.models.registry import Spec
from tlj.pretrained.formats.huggingface.settings import Setting
from tlj.pretrained.formats.name_map import Module


@dataclasses.dataclass(frozen=True, eq=False)
class HuggingFaceFamily:
    """One family, as transformers saves it.

    Attributes:
      model_type: what config.json calls it; also the name of tlj's family.
      model_class: transformers' class without a head.
      classifier_class: transformers' class with a classification head.
      settings: that tlj implements, by their names in config.json.
      fixed: settings of which tlj implements only these values; the first is written.
      ignored: settings of this family that change no value.
      signature: per layout, an array that every checkpoint has once; what stands before it is the prefix.
      head: name of the classification head.
      other_heads: classes whose array of the head's name is no classification head.
      fields: from settings and layout to the fields of the spec, ``num_classes`` and preprocessing apart.
      written: from a spec to the settings as config.json says them.
      check: raises InputError, with a file's name, for settings that do not go with a spec.
      backbone: from a spec to the layout of its backbone, without prefix.
      unused: from a spec to patterns of names that its model does not take, each with the reason.
      architecture: from a spec to the class that holds exactly its arrays.
      lacks: from a spec to the settings, with values, that change a result and that the class cannot express.
      instead: the formats of export for such a spec.
    """

    model_type: str
    model_class: str
    classifier_class: str
    settings: Mapping[str, Setting]
    fixed: Mapping[str, tuple[Any, ...]]
    ignored: frozenset[str]
    signature: Mapping[str, str]
    head: str
    fields: Callable[[Mapping[str, Any], str], dict[str, Any]]
    written: Callable[[Spec], dict[str, Any]]
    backbone: Callable[[Spec], tuple[Module, ...]]
    unused: Callable[[Spec], dict[str, str]]
    architecture: Callable[[Spec], str]
    lacks: Callable[[Spec], dict[str, Any]]
    check: Callable[[Mapping[str, Any], Spec, str], None] = lambda settings, spec, where: None
    other_heads: tuple[str, ...] = ()
    instead: str = "--format=stablehlo"

    def prefix(self, spec: Spec) -> str:
        """Returns what stands before the backbone's names when a model of this spec is exported."""
        return f"{self.model_type}." if self.architecture(spec) == self.classifier_class else ""

    def modules(self, spec: Spec, prefix: str = "") -> tuple[Module, ...]:
        """Returns where a checkpoint holds each layer of a model.

        Args:
          spec: of the model.
          prefix: before the names of the backbone; nothing where it was taken off.
        """
        flax = prefix.replace(".", "/")
        backbone = [
            dataclasses.replace(
                module,
                theirs=tuple(prefix + name for name in module.theirs),
                flax=tuple(flax + name for name in module.flax),
            )
            for module in self.backbone(spec)
        ]
        head = [Module("head", (self.head,), "dense")] if spec.num_classes else []
        return (*backbone, *head)

    def config(self, spec: Spec, classes: Sequence[str] = ()) -> dict[str, Any]:
        """Returns the content of the config.json of a model, versions apart.

        What only training reads and transformers has no setting for, such as stochastic depth, is left out.

        Args:
          spec: of the model.
          classes: names of the classes; empty where nobody tells.

        Raises:
          InputError: where transformers' class computes something else whatever its config says.
        """
        if lacking := self.lacks(spec):
            named = ", ".join(f"{name} = {value!r}" for name, value in lacking.items())
            raise InputError(
                f"transformers' {self.architecture(spec)} has no {named}",
                where="--format=huggingface",
                do=f"export with {self.instead}",
            )
        if classes and len(classes) != spec.num_classes:
            raise InputError(
                f"{len(classes)} names of classes for {spec.num_classes} classes",
                where="tlj export",
                do="give one name per class",
            )
        return {
            "architectures": [self.architecture(spec)],
            "model_type": self.model_type,
            **self.written(spec),
            **{key: values[0] for key, values in self.fixed.items()},
            **(_labels(spec.num_classes, classes) if self.architecture(spec) == self.classifier_class else {}),
            "torch_dtype": "float32",
        }


def _labels(count: int, names: Sequence[str]) -> dict[str, Any]:
    # A class without a head has none: an empty list would give whoever puts a head on it one of no outputs.
    if count and not names:
        return {"num_labels": count}
    return {
        "id2label": {str(number): name for number, name in enumerate(names)},
        "label2id": {name: number for number, name in enumerate(names)},
    }
