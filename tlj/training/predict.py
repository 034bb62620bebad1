"""``tlj predict``: what a trained model says of labelled data that it was not trained on."""

from __future__ import annotations

import dataclasses
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from tlj.data.images import Preprocessing
from tlj.data.label_kinds import Labels, are_numbers, are_sets
from tlj.data.parts import chosen_part
from tlj.data.settings import DataSettings, Reading
from tlj.data.sources import Reader, Source, open_reader, open_source
from tlj.data.text import TextPreprocessing
from tlj.errors import InputError, nearest_name
from tlj.metric_names import main_metric
from tlj.models.registry import family_of
from tlj.pretrained.load import Model, load
from tlj.training.evaluate import predict as predict_examples
from tlj.training.fit import for_text
from tlj.training.parallel import batch_sharding, make_mesh, replicated
from tlj.training.run_files import write_predictions
from tlj.training.step import make_evaluate_step
from tlj.training.tasks import TASKS, Task


@dataclasses.dataclass(frozen=True)
class Predicted:
    """What came out.

    Attributes:
      examples: how many.
      task: what the model's outputs say.
      metrics: of the task, by name (``tlj.metric_names``); None where one is not defined for these labels.
    """

    examples: int
    task: str
    metrics: Mapping[str, float | None]

    def __str__(self) -> str:
        main = main_metric(self.task, part="")
        order = (main, *(name for name in self.metrics if name != main))
        told = (f"{name} {self.metrics[name]:.4f}" for name in order if self.metrics[name] is not None)
        return f"{self.examples:,} examples: {', '.join(told)}"

    def to_json(self) -> dict[str, Any]:
        """Returns the number of examples and every metric, side by side; null for what is no finite number."""
        finite = {name: value for name, value in self.metrics.items() if value is not None and math.isfinite(value)}
        return {"examples": self.examples, **dict.fromkeys(self.metrics), **finite}


def predict(
    run: pathlib.Path, config: Mapping[str, Any], file: pathlib.Path, *, part: str = "", step: int | str = "latest"
) -> Predicted:
    """Writes what a model says of labelled data, in the layout of a run's ``predictions.parquet``.

    Args:
      run: a run, or any other source that ``tlj.load`` takes and that has a head.
      config: resolved; its ``data`` says which data, its ``evaluate`` how many examples at once, and its ``task`` what
        the outputs say of a model that does not tell.
      file: to be written; it must not be there yet.
      part: of the data, such as ``"test"`` or ``"train[:80%]"``; empty is all of it.
      step: of the run: ``"latest"``, ``"best"`` or a number.

    Raises:
      InputError: where the model cannot take the data, or was made for other classes.
    """
    data, batch_size = config["data"], config["evaluate"]["batch_size"]
    model = load(run, step=step)
    task = _task_of(model, config["task"], where=str(run))
    source = open_source(dataclasses.replace(DataSettings.of(data, task.name), known_classes=tuple(model.classes)))
    if model.preprocessing.kind != source.kind:
        what = f"{family_of(model.spec).name} takes {model.preprocessing.kind}, {source.name} holds {source.kind}"
        raise InputError(what, where="--data", do=f"give data that holds {model.preprocessing.kind}")
    labels = labels_of_model(source, model.classes, where=str(run))
    everything = np.arange(len(source.labels))
    examples = chosen_part(source, part, data["split_seed"], where="--split") if part else everything
    mesh = make_mesh("jit", 1, {})
    reader, preprocessing = _reader(model, source, data)
    evaluate = jax.jit(make_evaluate_step(model.module, preprocessing), out_shardings=replicated(mesh))
    logits = task.predictions(
        predict_examples(lambda batch: evaluate, model.variables, reader, examples, batch_size, batch_sharding(mesh))
    )
    write_predictions(
        file,
        [source.ids[i] for i in examples],
        labels[examples],
        logits,
        [part or "all"] * len(examples),
        [source.groups[i] for i in examples] if source.groups else None,
    )
    return Predicted(len(examples), task.name, task.evaluate(logits, labels[examples]))


def _task_of(model: Model, named: str, where: str) -> Task:
    """What a model's outputs say: what it tells itself, or else what the config names, if it can be."""
    task, most = TASKS[model.task or named], {"binary": 2, "regression": 1}
    if model.spec.num_classes > most.get(task.name, model.spec.num_classes):
        what = f"this model has {model.spec.num_classes} outputs, which is too many for {task.name}"
        raise InputError(what, where=where, do="set config.task to what they say")
    return task


def labels_of_model(source: Source, classes: Sequence[str], where: str) -> Labels:
    """Returns the labels of a source as a model numbers its classes, which it may have more of and in another order.

    Numbers are as they are.

    Args:
      source: the data.
      classes: names of the model's classes, in order.
      where: the model, for the error.

    Raises:
      InputError: where the model has no classes, or not all of those in the data.
    """
    if are_numbers(source.labels):
        return source.labels
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
    if are_sets(source.labels):
        labels = np.zeros((len(source.labels), len(classes)), np.int8)
        labels[:, places] = source.labels
        return labels
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
