"""An inspection in words: what a checkpoint holds, what moved and how far, and that the rest did not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def format_inspection(report: Mapping[str, Any]) -> str:
    """Returns an inspection (``tlj.training.inspection.inspect_run``) as text."""
    starts, index = report["phase_starts"], report["phase"]
    parts = [f"step {report['step']}, phase {index} (from step {starts[index]}){_kept(report)}", _leaves(report)]
    if report["moved_by_depth"] is None:
        parts.append("the model source of this run is gone or another one: what moved since its start cannot be told")
    else:
        parts += [_moved(report["moved_by_depth"]), _never_trained(report)]
    if report["statistics"]:
        parts.append(_statistics(report["statistics"]))
    return "\n\n".join([*parts, _since_phase_start(report)])


def _kept(report: Mapping[str, Any]) -> str:
    if report["kept"] == "all":
        return ""
    base = report["base"]
    origin = f"source {base['source']!r}" if base["source"] else f"the seed {base['seed']}"
    return f"\nkept: {report['kept']}, the rest is the base {base['digest']} ({base['init']}, from {origin})"


def _leaves(report: Mapping[str, Any]) -> str:
    rows = [(leaf, leaf["group"]) for leaf in report["leaves"]]
    rows += [(leaf, f"statistics, {leaf['norm_mode']}") for leaf in report["statistics"]]
    return _table([(leaf["path"], f"{leaf['dtype']}{leaf['shape']}", label) for leaf, label in rows])


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
    start = report["phase_starts"][report["phase"]]
    frozen = sum(leaf["group"] == "frozen" for leaf in report["leaves"])
    still = sum(row["norm_mode"] == "frozen" for row in report["statistics"])
    what = f"{frozen} frozen leaves" + (f" and {still} frozen statistics" if still else "")
    if not frozen and not still:
        return f"nothing is frozen in phase {report['phase']}"
    if report["frozen_since_phase_start_unchanged"]:
        return f"the {what} of phase {report['phase']} have not changed since it began at step {start}"
    changed = ", ".join(report["changed_since_phase_start"])
    return f"of the {what} of phase {report['phase']}, these have changed since it began at step {start}: {changed}"
