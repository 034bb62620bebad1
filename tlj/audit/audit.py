"""The audit of a data set: everything that is found, as one report that JSON can hold."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from tlj.audit.contents import TEST, TRAIN, contents, open_leniently, splits_of
from tlj.audit.copies import MEANINGS
from tlj.audit.counts import count_classes
from tlj.audit.duplicates import LISTED, Copied, all_copies
from tlj.audit.findings import findings_of, verdict_of
from tlj.audit.image_table import ImageTable, image_copies, read_images
from tlj.audit.summaries import image_summary, text_summary
from tlj.audit.suspicions import Suspicion, telling_numbers, telling_values
from tlj.audit.text_table import TextTable, read_texts, text_copies
from tlj.data.settings import DataSettings
from tlj.data.sources import Source


def audit(
    settings: DataSettings,
    data: Mapping[str, Any],
    tokenizer: Mapping[str, pathlib.Path] | None = None,
    max_length: int | None = None,
    image_size: int | None = None,
) -> dict[str, Any]:
    """Audits the data of a config before anything is trained on it.

    Args:
      settings: which data; what cannot be read is listed, whatever ``on_error`` says.
      data: ``config.data``, for its splits.
      tokenizer: files of the model's tokenizer; without them lengths of text are in words.
      max_length: tokens that the model takes.
      image_size: pixels a side that the model takes.

    Returns:
      The report of ``audit_source``.

    Raises:
      InputError: where the data cannot be opened, or not be split so.
    """
    source = open_leniently(settings)
    return audit_source(source, splits_of(source, data), tokenizer, max_length, image_size)


def audit_source(
    source: Source,
    splits: Mapping[str, Int[np.ndarray, " part"]],
    tokenizer: Mapping[str, pathlib.Path] | None = None,
    max_length: int | None = None,
    image_size: int | None = None,
) -> dict[str, Any]:
    """Audits the splits of a source.

    Args:
      source: the data.
      splits: indices of ``train`` and of any others.
      tokenizer: files of a tokenizer, or None.
      max_length: tokens that the model takes, or None.
      image_size: pixels a side that the model takes, or None.

    Returns:
      What JSON can hold: ``source``, ``kind``, ``digest``, ``classes``, ``verdict``, ``findings``, ``splits``,
      ``images`` or ``texts``, ``unreadable``, ``duplicates``, ``suspicions``, ``unused``, ``meanings``.

    Raises:
      InputError: where there is no tokenizer in the files.
    """
    indices = np.concatenate(list(splits.values()))
    if source.kind == "images":
        table = read_images(contents(source), indices)
        summary = {"images": image_summary(table, source.ids, image_size)}
    else:
        table = read_texts(contents(source), indices, tokenizer)
        summary = {"texts": text_summary(table, source.ids, max_length)}
    split = np.full(len(source.labels), "", dtype=object)
    for name, part in splits.items():
        split[part] = name
    unreadable = [*source.skipped, *table.unreadable.values()]
    report = {
        "source": source.name,
        "kind": source.kind,
        "digest": source.digest,
        "classes": list(source.classes),
        "splits": count_classes(source.labels, source.classes, splits),
        "unused": len(source.labels) - len(indices),
        **summary,
        "unreadable": {
            "count": len(unreadable),
            "examples": [dataclasses.asdict(one) for one in unreadable[:LISTED]],
            "left_out": max(len(unreadable) - LISTED, 0),
        },
        "duplicates": all_copies(_copied(source, table, split[table.indices]), splits),
        "suspicions": _suspicions(source, table, split[table.indices]),
        "meanings": MEANINGS,
    }
    findings = findings_of(report)
    return {"verdict": verdict_of(report, findings), "findings": findings, **report}


def leaks(report: Mapping[str, Any]) -> bool:
    """Returns whether an example of the test is a copy of a training example."""
    return any(row["copies"] for row in report["duplicates"]["of_training"] if row["split"] == TEST)


def _copied(source: Source, table: ImageTable | TextTable, split: np.ndarray) -> Copied:
    in_train = split == TRAIN
    copies = image_copies(table, in_train) if source.kind == "images" else text_copies(table, in_train)
    ids = [source.ids[index] for index in table.indices]
    return Copied(copies, ids, np.asarray(source.labels)[table.indices], source.classes, split)


def _suspicions(source: Source, table: ImageTable | TextTable, split: np.ndarray) -> dict[str, Any]:
    values, numbers = _image_properties(table) if source.kind == "images" else _text_properties(table)
    train = split == TRAIN
    compared = train | (split == TEST)
    labels = np.asarray(source.labels)[table.indices]
    return {
        "classes": _told(labels[train], source.classes, _chosen(values, train), _chosen(numbers, train)),
        "splits": _told(
            (split[compared] == TEST).astype(int),
            (TRAIN, TEST),
            _chosen(values, compared) | {"class": np.array(source.classes)[labels[compared]]},
            _chosen(numbers, compared),
        ),
    }


def _chosen(columns: Mapping[str, np.ndarray], rows: np.ndarray) -> dict[str, np.ndarray]:
    return {name: column[rows] for name, column in columns.items()}


def _told(labels: np.ndarray, names: Sequence[str], values: Mapping, numbers: Mapping) -> list[dict[str, Any]]:
    marks: list[Suspicion] = telling_values(labels, names, values)
    marked = {suspicion.name for suspicion in marks}
    # A number says no more of a class that a format or a size tells already.
    marks += [one for one in telling_numbers(labels, names, numbers) if one.name not in marked]
    if len(names) == 2:
        # What tells one of two classes tells the other.
        marks = [*{one.property: one for one in sorted(marks, key=lambda one: one.association)}.values()]
    return [dataclasses.asdict(one) for one in sorted(marks, key=lambda one: -one.association)]


def _image_properties(table: ImageTable) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    width, height, size = (table.column(name) for name in ("width", "height", "bytes"))
    sizes = np.array([f"{w} x {h}" for w, h in zip(width, height, strict=True)], dtype=object)
    values = {
        "format": table.column("format"),
        "mode": table.column("mode"),
        "size": sizes,
        "EXIF orientation": table.column("orientation"),
    }
    if not len(width):
        return values, {}
    area = width.astype(float) * height
    return values, {"pixels": area, "aspect (width by height)": width / height, "bytes per pixel": size / area}


def _text_properties(table: TextTable) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    values = {
        "length": np.array([f"{length} {table.unit}" for length in table.lengths], dtype=object),
        "last character": np.array([f"“{character}”" for character in table.ending], dtype=object),
    }
    return values, {table.unit: table.lengths}
