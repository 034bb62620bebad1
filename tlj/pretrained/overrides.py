"""What a user says of a source beside its place: settings of the model, of its preprocessing, and its family."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from tlj.data.images import Preprocessing
from tlj.data.text import TextPreprocessing
from tlj.errors import InputError, nearest_name
from tlj.models.registry import FAMILIES, Spec, family_of, make_spec
from tlj.models.shapes import leaf_shapes
from tlj.pretrained.formats.checkpoint import POSITIONS, resized_leaf
from tlj.pretrained.source import PretrainedSource

# What may differ from a checkpoint that says all of its settings: it changes no stored array, or one that is resized.
ADJUSTABLE = {
    "vit": ("image_size", "pool", "dropout", "attention_dropout", "mlp_dropout", "stochastic_depth"),
    "resnet": ("image_size", "momentum"),
    "bert": ("pool", "dropout", "attention_dropout", "head_dropout"),
}
# Of the preprocessing; the image size is that of the model.
_IMAGES = ("mean", "std", "resample", "resize_to", "keep_aspect")
_WHERE = "tlj.load or config.model.settings"


def _of_preprocessing(family: str) -> tuple[str, ...]:
    return _IMAGES if FAMILIES[family].preprocessing is Preprocessing else ()


def check_preprocessing(names: Iterable[str], family: str) -> None:
    """Checks that what ``config.model.preprocessing`` sets belongs there.

    Args:
      names: of its settings.
      family: of the model.

    Raises:
      InputError: for a name that is not of the family's preprocessing, or that follows from the model.
    """
    known = _of_preprocessing(family)
    for name in names:
        if name not in known:
            raise InputError(
                f"the preprocessing of {family} has no setting {name!r}",
                where=f"config.model.preprocessing.{name}",
                nearest=nearest_name(name, known),
                do=f"use one of {', '.join(known)}" if known else "leave it out: it comes with the checkpoint",
            )


@dataclasses.dataclass(frozen=True)
class Overrides:
    """What a user says of a source; names are those of the spec's and of the preprocessing's fields, and ``family``."""

    given: Mapping[str, Any]

    @property
    def family(self) -> str:
        """The family, or nothing where the user leaves it to the source."""
        return str(self.given.get("family", ""))

    def of_spec(self, family: str) -> dict[str, Any]:
        """Returns the settings of the model among them.

        Raises:
          InputError: for another family than the source's, or a name of neither the model nor its preprocessing.
        """
        if self.family and self.family != family:
            raise InputError(
                f"the source is a {family}, not a {self.family}", where="config.model.family", do=f"use {family}"
            )
        fields = [field.name for field in dataclasses.fields(FAMILIES[family].spec) if field.name != "num_classes"]
        others = _of_preprocessing(family)
        known = [*fields, *others]
        for name in self.given:
            if name not in (*known, "family"):
                raise InputError(
                    f"{family} has no setting {name!r}",
                    where=_WHERE,
                    nearest=nearest_name(name, known),
                    do=f"use one of {', '.join(known)}",
                )
        return {name: value for name, value in self.given.items() if name in fields}

    def adjust(self, stored: Spec) -> Spec:
        """Returns a checkpoint's spec with what may be overridden; a setting that says the same is welcome.

        Raises:
          InputError: for a setting that would make another model of the same arrays.
        """
        family = family_of(stored).name
        wanted = self.of_spec(family)
        spec = make_spec(family, {**dataclasses.asdict(stored), **wanted})
        for name in wanted:
            own, other = getattr(stored, name), getattr(spec, name)
            if own != other and name not in ADJUSTABLE[family]:
                raise InputError(
                    f"the source has {name} = {own!r}, not {other!r}",
                    where=_WHERE,
                    do=f"leave it out; what may differ is {', '.join(ADJUSTABLE[family])}",
                )
        return spec

    def on_preprocessing(self, own: Preprocessing | TextPreprocessing, spec: Spec) -> Preprocessing | TextPreprocessing:
        """Returns the checkpoint's preprocessing with the user's own, at the model's resolution."""
        if isinstance(own, TextPreprocessing):
            return own
        changes = {name: self.given[name] for name in _IMAGES if name in self.given}
        return own.changed(image_size=spec.image_size, **changes)

    def on_run(self, source: PretrainedSource) -> PretrainedSource:
        """Returns a run of tlj as a source with the settings that may be overridden.

        Raises:
          InputError: for a setting that would make another model of the same arrays.
        """
        spec = self.adjust(source.spec)
        if spec == source.spec and not self.given:
            return source
        shapes = leaf_shapes(spec)
        leaves = {path: leaf for path, leaf in source.leaves.items() if path in shapes}
        if POSITIONS in leaves:
            leaves[POSITIONS] = resized_leaf(leaves[POSITIONS], shapes[POSITIONS], spec.class_token, "bicubic")
        unused = tuple(
            dataclasses.replace(leaf, note="the model pools otherwise")
            for path, leaf in source.leaves.items()
            if path not in shapes
        )
        return dataclasses.replace(
            source,
            spec=spec,
            preprocessing=self.on_preprocessing(source.preprocessing, spec),
            leaves=leaves,
            ignored=(*source.ignored, *unused),
        )
