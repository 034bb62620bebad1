"""``tlj predict``: what a trained model says of labelled data that it was not trained on."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Int

from tlj.data.images import Preprocessing
from tlj.data.parts import chosen_part
from tlj.data.settings import DataSettings, Reading
from tlj.data.sources import Reader, Source, open_reader, open_source
from tlj.data.text import TextPreprocessing
from tlj.errors import InputError, nearest_name
from tlj.models.registry import family_of
from tlj.pretrained.load import Model, load
from tlj.training.evaluate import loss_and_accuracy
from tlj.training.evaluate import predict as predict_examples
from tlj.training.fit import for_text
from tlj.training.parallel import batch_sharding, make_mesh
from tlj.training.run_files import write_predictions
from tlj.training.step import make_evaluate_step


@dataclasses.dataclass(frozen=True)
class Predicted:
    """What came out: how many examples, the mean cross-entropy in nats, and the accuracy."""

    examples: int
    loss: float
    accuracy: float

    def __str__(self) -> str:
        return f"{self.examples:,} examples: accuracy {self.accuracy:.4f}, loss {self.loss:.4f}"


def predict(
    run: pathlib.Path, config: Mapping[str, Any], file: pathlib.Path, *, part: str = "", step: int | str = "latest"
) -> Predicted:
    """Writes what a model says of labelled data, in the layout of a run's ``predictions.parquet``.

    Args:
      run: a run, or any other source that ``tlj.load`` takes and that has a head.
      config: resolved; its ``data`` says which data, its ``evaluate`` how many examples at once.
      file: to be written; it must not be there yet.
      part: of the data, such as ``"test"`` or ``"train[:80%]"``; empty is all of it.
      step: of the run: ``"latest"``, ``"best"`` or a number.

    Raises:
      InputError: where the model cannot take the data, or was made for other classes.
    """
    data, batch_size = config["data"], config["evaluate"]["batch_size"]
    model = load(run, step=step)
    source = open_source(dataclasses.replace(DataSettings.of(data), known_classes=tuple(model.classes)))
    if model.preprocessing.kind != source.kind:
        what = f"{family_of(model.spec).name} takes {model.preprocessing.kind}, {source.name} holds {source.kind}"
        raise InputError(what, where="--data", do=f"give data that holds {model.preprocessing.kind}")
    labels = labels_of_model(source, model.classes, where=str(run))
    everything = np.arange(len(source.labels))
    examples = chosen_part(source, part, data["split_seed"], where="--split") if part else everything
    mesh = make_mesh("jit", 1, {"evaluate.batch_size": batch_size})
    reader, preprocessing = _reader(model, source, data)
    evaluate = jax.jit(make_evaluate_step(model.module, preprocessing))
    logits = predict_examples(
        lambda batch: evaluate, model.variables, reader, examples, batch_size, batch_sharding(mesh)
    )
    write_predictions(
        file,
        [source.ids[i] for i in examples],
        labels[examples],
        logits,
        [part or "all"] * len(examples),
        [source.groups[i] for i in examples] if source.groups else None,
    )
    return Predicted(len(examples), *loss_and_accuracy(logits, labels[examples]))


def labels_of_model(source: Source, classes: Sequence[str], where: str) -> Int[np.ndarray, " examples"]:
    """Returns the labels of a source as a model numbers its classes, which it may have more of and in another order.

    Args:
      source: the data.
      classes: names of the model's classes, in order.
      where: the model, for the error.

    Raises:
      InputError: where the model has no classes, or not all of those in the data.
    """
    if not classes:
        raise InputError("this model does not tell its classes", where=where, do="give a run, or a model with a head")
    unknown = [name for name in source.classes if name not in classes]
    if unknown:
        raise InputError(
            f"{source.name} has {len(unknown)} of {len(source.classes)} classes that the model has not: "
            f"{', '.join(unknown[:5])}",
            where=where,
            nearest=nearest_name(unknown[0], classes),
            do=f"the model's are {', '.join(classes[:20])}; name those of the data with data.classes",
        )
    places = np.array([classes.index(name) for name in source.classes], np.int32)
    return places[source.labels]


def _reader(model: Model, source: Source, data: Mapping[str, Any]) -> tuple[Reader, Preprocessing | TextPreprocessing]:
    """The data as the model takes it, and what the model applies to it on the device."""
    own = model.preprocessing
    if source.preprocessing is not None:
        if misfit := source.preprocessing.misfit(model.spec):
            raise InputError(misfit, where="--data", do="give data that the model takes")
        own = own.on(source.preprocessing)
        return open_reader(source, own, Reading()), own
    # Each example is read once, so nothing decoded is kept.
    reading = Reading(threads=data["threads"], memory=0)
    if isinstance(own, TextPreprocessing):
        # Cut where the model's own data was, unless the config says otherwise.
        text = {**data["text"], "length": data["text"]["length"] or own.length}
        own = for_text(text, model.spec, own, model.files)
        reading = Reading(buckets=data["text"]["buckets"], tokenizer=tuple(sorted(model.files.items())))
    reader = open_reader(source, own, reading)
    return getattr(reader, "evaluation", reader), reader.preprocessing
