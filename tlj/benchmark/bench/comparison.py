"""What changed beyond noise between two files of ``tlj bench --json``."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from tlj.benchmark.bench.request import REFERENCE
from tlj.errors import InputError

# What tells a row from the others of a file.
KEY = ("strategy", "phase", "batch", "devices")
# Besides an interval without 1 in it, a change is told from this on: windows of one process differ by less than two
# processes do.
SMALLEST_CHANGE = 0.03
RESAMPLES, SEED = 10_000, 0
_MOST_TOLD = 5
_NEEDED = (*KEY, "window_s", "flops", "peak_bytes", "compile_s")
_FACTS = ("date", "device", "device_count", "versions", "config_digest", "what")

Seconds = Float[np.ndarray, " windows"]


def read_bench(path: pathlib.Path, where: str) -> dict[str, Any]:
    """Returns what ``tlj bench --json`` wrote.

    Args:
      path: of the file.
      where: the flag that names it.

    Raises:
      InputError: where there is none, or it holds something else or what an older tlj measured.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", where=where, do="name a file of `tlj bench --json`") from None
    except ValueError:
        raise InputError(f"{path} is no JSON", where=where, do="name a file of `tlj bench --json`") from None
    rows = content.get("rows") if isinstance(content, Mapping) else None
    if not isinstance(rows, list) or not rows or not all(isinstance(row, Mapping) and KEY[0] in row for row in rows):
        what = f"{path} holds no step times of strategies"
        raise InputError(what, where=where, do="name a file of `tlj bench --json`")
    missing = [name for name in _NEEDED if any(name not in row for row in rows)]
    missing += [name for name in _FACTS if name not in content]
    if missing:
        what = f"{path} says nothing of {', '.join(missing)}: an older tlj measured it"
        raise InputError(what, where=where, do="measure it again with this one")
    return content


def compare_benches(then: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Sets each row of one file beside the same row of another.

    Args:
      then: the earlier one.
      now: the later one.

    Returns:
      ``differs`` ([what, then, now]: device, versions, config and the like), ``rows`` and ``only_then``, ``only_now``
      (keys of rows without a partner). A row has its key; ``step`` and ``relative`` (the ratio of the median seconds of
      a step, and of the median time relative to ``full`` in the same round: ``ratio``, ``low``, ``high``; None where
      not measured); ``flops``, ``peak_bytes`` and ``compile_s`` (ratios); and ``changed`` (slower, faster, same, or
      None) with ``by``, which of the two says so.
    """
    before, after = _by_key(then), _by_key(now)
    return {
        "differs": _differences(then, now),
        "rows": [_row(key, before, after) for key in after if key in before],
        "only_then": [list(key) for key in before if key not in after],
        "only_now": [list(key) for key in after if key not in before],
    }


def _by_key(measured: Mapping[str, Any]) -> dict[tuple[Any, ...], Mapping[str, Any]]:
    return {tuple(row[name] for name in KEY): row for row in measured["rows"]}


def _differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[list[Any]]:
    def told(measured: Mapping[str, Any]) -> dict[str, Any]:
        versions = {f"version of {name}": version for name, version in measured["versions"].items()}
        plain = {name: measured[name] for name in ("device", "device_count", "config_digest")}
        of_model = {name: measured["what"][name] for name in ("dtype", "model")}
        return {**plain, **of_model, **versions}

    old, new = told(then), told(now)
    return [[name, old.get(name), new.get(name)] for name in {**old, **new} if old.get(name) != new.get(name)]


def _row(
    key: tuple[Any, ...], before: Mapping[tuple[Any, ...], Any], after: Mapping[tuple[Any, ...], Any]
) -> dict[str, Any]:
    old, new = before[key], after[key]
    step = relative = None
    if old["window_s"] and new["window_s"]:
        step = _interval(_seconds(old), _seconds(new))
        references = [rows.get((REFERENCE, 0, *key[2:])) for rows in (before, after)]
        if key[0] != REFERENCE and all(row is not None and row["window_s"] for row in references):
            pairs = zip((old, new), references, strict=True)
            relative = _interval(*(_seconds(row) / _seconds(full) for row, full in pairs))
    changed = _verdict(relative or step)
    return {
        **dict(zip(KEY, key, strict=True)),
        "step": step,
        "relative": relative,
        "changed": changed,
        "by": changed and ("relative" if relative else "step"),
        **{name: _quotient(new[name], old[name]) for name in ("flops", "peak_bytes", "compile_s")},
    }


def _seconds(row: Mapping[str, Any]) -> Seconds:
    return np.asarray(row["window_s"], np.float64)


def _interval(old: Seconds, new: Seconds) -> dict[str, float]:
    """The ratio of medians, and the 95 % percentile interval of its bootstrap over windows (Efron 1979), seeded."""
    random = np.random.default_rng(SEED)

    def resampled(values: Seconds) -> Float[np.ndarray, " resamples"]:
        return np.median(random.choice(values, (RESAMPLES, len(values))), axis=1)

    low, high = np.percentile(resampled(new) / resampled(old), (2.5, 97.5))
    return {"ratio": float(np.median(new) / np.median(old)), "low": float(low), "high": float(high)}


def _verdict(interval: Mapping[str, float] | None) -> str | None:
    if interval is None:
        return None
    if interval["low"] > 1 and interval["ratio"] > 1 + SMALLEST_CHANGE:
        return "slower"
    if interval["high"] < 1 and interval["ratio"] < 1 / (1 + SMALLEST_CHANGE):
        return "faster"
    return "same"


def _quotient(new: float | None, old: float | None) -> float | None:
    return new / old if new is not None and old else None


def keys_as_text(keys: Sequence[Sequence[Any]]) -> str:
    """Returns keys of rows in words, of many the first few."""
    told = [f"{s} phase {p}, batch {b}, {d} device{'s' if d > 1 else ''}" for s, p, b, d in keys[:_MOST_TOLD]]
    return "; ".join([*told, *([f"and {len(keys) - _MOST_TOLD} more"] if len(keys) > _MOST_TOLD else [])])
