"""An inspection in words: what a checkpoint holds, what moved and how far, and that the rest did not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_FIELDS = {
    "params": "parameters",
    "batch_stats": "statistics",
    "opt_state": "optimizer state",
    "ema": "averages",
    "origin": "origin of L2-SP",
}


def format_inspection(report: Mapping[str, Any]) -> str:
    """Returns an inspection (``tlj.training.inspection.inspect_run``) as text."""
    parts = [_what(report), _leaves(report), _bytes(report["bytes"])]
    if report["moved_by_depth"] is not None:
        parts += [_moved(report["moved_by_depth"]), _never_trained(report)]
    elif report["base_problem"] is None:
        parts.append("the model source of this run is gone or another one: what moved since its start cannot be told")
    else:
        parts.append(
            f"what this checkpoint leaves out cannot be made again, so of it there is less to tell: "
            f"{report['base_problem']}"
        )
    if report["statistics"]:
        parts.append(_statistics(report["statistics"]))
    return "\n\n".join([*parts, _since_phase_start(report)])


def _what(report: Mapping[str, Any]) -> str:
    index = report["phase"]
    lines = [f"step {report['step']}, phase {index} (from step {report['phase_starts'][index]})"]
    if base := report["base"]:
        origin = f"source {base['source']!r}" if base["source"] else f"the seed {base['seed']}"
        what = f"kept: {report['kept']}, the rest is the base {base['digest']} ({base['init']}, from {origin})"
        lines.append(what)
    if report["metrics"]:
        lines.append(", ".join(f"{name} {_figure(value)}" for name, value in sorted(report["metrics"].items())))
    if report["evaluated"] == "ema":
        lines.append("of the parameters that train, the moving averages are told, as the run was evaluated")
    return "\n".join(lines)


def _figure(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.6g}"


def _leaves(report: Mapping[str, Any]) -> str:
    rows = [("leaf", "array", "bytes", "of optimizer", "group")]
    rows += [_row(leaf, leaf["group"], f"{leaf['optimizer_bytes']:,}") for leaf in report["leaves"]]
    rows += [_row(leaf, f"statistics, {leaf['norm_mode']}", "0") for leaf in report["statistics"]]
    return _table(rows)


def _row(leaf: Mapping[str, Any], group: str, of_optimizer: str) -> tuple[str, ...]:
    return leaf["path"], f"{leaf['dtype']}{leaf['shape']}", f"{leaf['bytes']:,}", of_optimizer, group


def _bytes(fields: Mapping[str, int]) -> str:
    known = [f"{fields[name]:,} of {words}" for name, words in _FIELDS.items() if fields.get(name)]
    rest = sum(size for name, size in fields.items() if name not in (*_FIELDS, "total", "on_disk"))
    return f"bytes: {', '.join([*known, f'{rest:,} of other'])}: {fields['total']:,}; in files: {fields['on_disk']:,}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _moved(rows: Sequence[Mapping[str, Any]]) -> str:
    cells = [("depth", "trained leaves", "trained now", "moved by", "of the init's norm")]
    for row in rows:
        moved = f"{row['distance']:.4g}" if row["distance"] else "nothing"
        relative = "-" if row["relative"] is None else f"{row['relative']:.2%}"
        trained = (f"{row[name]} of {row['leaves']}" for name in ("trained", "trained_now"))
        cells.append((str(row["depth"]), *trained, moved, relative))
    return _table(cells)


def _never_trained(report: Mapping[str, Any]) -> str:
    count, change = report["never_trained"], report["largest_frozen_change"]
    if not count:
        return "every leaf has been trained by some phase"
    what = f"{count} leaves that no phase has trained"
    if change:
        return f"{what} should be what the run started from, and are not: the largest change is {change:g}"
    return f"{what} are, bit for bit, what the run started from: the largest change is 0"


def _statistics(rows: Sequence[Mapping[str, Any]]) -> str:
    modes = sorted({row["norm_mode"] for row in rows})
    counts = ", ".join(f"{sum(row['norm_mode'] == mode for row in rows)} in mode {mode}" for mode in modes)
    text = f"running statistics: {counts}"
    if rows[0]["distance"] is None:
        return text
    return f"{text}; {sum(row['distance'] > 0 for row in rows)} of {len(rows)} have moved since the run started"


def _since_phase_start(report: Mapping[str, Any]) -> str:
    start, unchanged = report["phase_starts"][report["phase"]], report["frozen_since_phase_start_unchanged"]
    frozen = sum(leaf["group"] == "frozen" for leaf in report["leaves"])
    still = sum(row["norm_mode"] == "frozen" for row in report["statistics"])
    what = f"{frozen} frozen leaves" + (f" and {still} frozen statistics" if still else "")
    if not frozen and not still:
        return f"nothing is frozen in phase {report['phase']}"
    if unchanged is None and not report["changed_since_phase_start"]:
        return f"whether the {what} of phase {report['phase']} have changed since it began cannot be told of all"
    if unchanged:
        return f"the {what} of phase {report['phase']} have not changed since it began at step {start}"
    changed = ", ".join(report["changed_since_phase_start"])
    return f"of the {what} of phase {report['phase']}, these have changed since it began at step {start}: {changed}"
