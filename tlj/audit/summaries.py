"""What images and texts are like: sizes, formats, lengths, as numbers a page can show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tlj.audit.image_table import ImageTable
from tlj.audit.text_table import TextTable

_MOST = 20
_BINS = 24
_RARE = 0.005


def image_summary(table: ImageTable, ids: Sequence[str], image_size: int | None) -> dict[str, Any]:
    """Returns sizes, formats, modes, orientations and file sizes of the images.

    Args:
      table: the images.
      ids: of every example of the source.
      image_size: pixels a side that the model takes; None where there is no model yet.
    """
    width, height, size = (table.column(name) for name in ("width", "height", "bytes"))
    if not len(width):
        return {"images": 0}
    area = width.astype(np.int64) * height
    names = [ids[index] for index in table.indices]
    few = [f"{w} x {h}" for w, h in zip(width.tolist(), height.tolist(), strict=True)]
    short = np.minimum(width, height)
    return {
        "images": len(width),
        "sizes": _common(few),
        "distinct_sizes": len(set(few)),
        "smallest": {"id": names[area.argmin()], "size": few[area.argmin()]},
        "largest": {"id": names[area.argmax()], "size": few[area.argmax()]},
        "shorter_edge": _spread(short),
        "aspect": _spread(width / height),
        "model_size": image_size,
        "below_model_size": float((short < image_size).mean()) if image_size else None,
        "formats": _common(table.column("format")),
        "modes": _common(table.column("mode")),
        "odd": _odd(table, names),
        "turned_by_exif": int((table.column("orientation") > 1).sum()),
        "animated": int(table.column("animated").sum()),
        "flat": [names[at] for at in np.flatnonzero(table.column("flat"))[:_MOST]],
        "flat_images": int(table.column("flat").sum()),
        "bytes": _spread(size) | {"total": int(size.sum())},
    }


def text_summary(table: TextTable, ids: Sequence[str], max_length: int | None) -> dict[str, Any]:
    """Returns the lengths of the texts, and how many would be cut off.

    Args:
      table: the texts.
      ids: of every example of the source.
      max_length: tokens that a model takes, as far as lengths are in tokens; None where it is not known.
    """
    if not len(table.lengths):
        return {"texts": 0}
    cut = max_length is not None and table.unit == "tokens"
    return {
        "texts": len(table.lengths),
        "unit": table.unit,
        "lengths": _spread(table.lengths),
        "longest": ids[table.indices[table.lengths.argmax()]],
        "max_length": max_length,
        "truncated": int((table.lengths > max_length).sum()) if cut else None,
        "truncated_share": float((table.lengths > max_length).mean()) if cut else None,
        "empty": [ids[index] for index in table.indices[table.empty][:_MOST]],
        "empty_texts": int(table.empty.sum()),
    }


def _odd(table: ImageTable, names: Sequence[str]) -> list[dict[str, str]]:
    """Images of a format or mode that next to none of the others have."""
    kinds = [f"{one.format} {one.mode}" for one in table.facts]
    counted = Counter(kinds)
    rare = {kind for kind, count in counted.items() if count < _RARE * len(kinds)}
    return [{"id": name, "kind": kind} for name, kind in zip(names, kinds, strict=True) if kind in rare][:_MOST]


def _common(values: Iterable) -> list[dict[str, Any]]:
    counted = Counter(map(str, values))
    rows = [{"value": value, "count": count} for value, count in counted.most_common(_MOST)]
    left = counted.total() - sum(row["count"] for row in rows)
    return rows + ([{"value": "others", "count": left}] if left else [])


def _spread(values: np.ndarray) -> dict[str, Any]:
    edges = np.linspace(values.min(), max(np.percentile(values, 99), values.min() + 1e-9), _BINS + 1)
    if np.issubdtype(values.dtype, np.integer):
        step = max(int(np.ceil((edges[-1] - edges[0] + 1) / _BINS)), 1)
        edges = np.arange(int(edges[0]), int(edges[-1]) + step + 1, step) - 0.5
    counts = np.histogram(values.clip(max=edges[-1]), edges)[0]
    return {
        "min": values.min().item(),
        "median": float(np.median(values)),
        "p95": float(np.percentile(values, 95)),
        "max": values.max().item(),
        "histogram": {"edges": edges.tolist(), "counts": counts.tolist()},
    }
