"""What became of the members of a sweep, from their files alone: states, numbers, a table."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from tlj import config as configuration
from tlj.experiments.sweep_members import Member
from tlj.metric_names import lower_is_better, main_metric

DONE, FAILED, STOPPED, NOT_BEGUN = "done", "failed", "stopped", "not begun"
FAILURE = "failed.json"

# Members that differ in one of these are not validated on the same examples.
_CHANGES_VALIDATION = ("data", "task", "label_budget")
_LONGEST_CELL = 60


def is_done(member: Member) -> bool:
    """Returns whether a member is finished: a run that has its summary, or a comparison that lacks no run."""
    summary = _read(member.folder / "summary.json")
    if summary is None or member.verb == "train":
        return summary is not None
    lacks = bool(summary.get("missing")) or any(row["missing"] for row in summary.get("parities") or ())
    return bool(summary.get("ended")) or not lacks


def state_of(member: Member) -> str:
    """Returns what became of a member: done, failed, stopped or not begun."""
    if is_done(member):
        return DONE
    if (member.folder / FAILURE).exists():
        return FAILED
    return STOPPED if member.log.exists() else NOT_BEGUN


def summarise(verb: str, members: Sequence[Member]) -> dict[str, Any]:
    """Returns the ``summary.json`` of a sweep.

    All of it but ``timing`` depends on configs and member files, not on when or where they were made.

    Args:
      verb: what each member is.
      members: in the sweep's order.
    """
    rows = [_row(member) for member in members]
    summary = {
        "verb": verb,
        "keys": list(dict.fromkeys(key for member in members for key in member.overrides)),
        "counts": {state: sum(row["state"] == state for row in rows) for state in (DONE, FAILED, STOPPED, NOT_BEGUN)},
        "members": rows,
    }
    if verb == "train":
        metrics = {main_metric(member.config.task) for member in members}
        metric = metrics.pop() if len(metrics) == 1 else None
        best, note = _best(rows, metric)
        summary |= {"metric": metric, "best": best, "note": note}
        summary["timing"] = {"wall_s": {m.hash: _wall_s(m) for m in members if state_of(m) == DONE}}
    return summary


def _row(member: Member) -> dict[str, Any]:
    summary = _read(member.folder / "summary.json") or {}
    row = {
        "hash": member.hash,
        "folder": f"members/{member.hash}",
        "state": state_of(member),
        "overrides": member.overrides,
    }
    if row["state"] == FAILED:
        failure = _read(member.folder / FAILURE) or {}
        row["failure"] = {name: failure.get(name) for name in ("attempts", "exit_code")}
    if row["state"] == DONE and member.verb == "train":
        row["metrics"] = summary.get("metrics", {})
    elif row["state"] == DONE:
        row |= {"answer": summary.get("answer"), "failed_runs": len(summary.get("failed") or ())}
    return row


def _wall_s(member: Member) -> float | None:
    return ((_read(member.folder / "summary.json") or {}).get("timing") or {}).get("wall_s")


def _best(rows: Sequence[Mapping[str, Any]], metric: str | None) -> tuple[list[str], str]:
    """The members of the setting with the best validation, and what is to be said of the choice.

    Members that differ in the seed alone are repeats of one setting, which stands by their mean.
    """
    differing = {key for row in rows for key in row["overrides"] if key.partition(".")[0] in _CHANGES_VALIDATION}
    if metric is None or differing:
        differ = ", ".join(sorted(differing)) or "task"
        return [], f"members differ in {differ}: their validation is not of the same examples, and none is marked best"
    settings: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        shared = {key: value for key, value in row["overrides"].items() if key != "seed"}
        settings.setdefault(configuration.digest(shared), []).append(row)
    means = {}
    for name, repeats in settings.items():
        values = [row.get("metrics", {}).get(metric) for row in repeats]
        if None not in values:
            means[name] = sum(values) / len(values)
    if len(means) < 2:
        return [], ""
    best = (min if lower_is_better(metric) else max)(means, key=means.__getitem__)
    of = f"mean {metric}" if any(len(repeats) > 1 for repeats in settings.values()) else metric
    note = f"best {of} of {len(means)} settings; choosing by it is tuning, and flatters the value it was chosen by"
    return [row["hash"] for row in settings[best]], note


def format_table(summary: Mapping[str, Any]) -> str:
    """Returns one row per member, what the sweep set for it and what came out, as text that is Markdown, too.

    Args:
      summary: as ``summarise`` returns it.
    """
    metric = summary.get("metric")
    numbers = [metric, metric.replace("validation_", "test_", 1)] if metric else []
    outcome = numbers if summary["verb"] == "train" else ["answer"]
    table = [["member", *summary["keys"], "state", *outcome]]
    for row in summary["members"]:
        set_here = [_cell(row["overrides"].get(key, "")) for key in summary["keys"]]
        values = [row.get("metrics", {}).get(name) for name in numbers] if numbers else []
        told = ["" if value is None else f"{value:.4f}" for value in values]
        if told and row["hash"] in summary.get("best", ()):
            told[0] += " *"
        if summary["verb"] == "compare":
            failed = row.get("failed_runs")
            told = [(row.get("answer") or "") + (f" ({failed} runs failed)" if failed else "")]
        table.append([row["hash"], *set_here, _state_text(row), *told])
    lines = _aligned([[cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in table])
    note = summary.get("note")
    return "\n".join([*lines, *(["", f"{'* ' if summary['best'] else ''}{note}"] if note else [])]) + "\n"


def _cell(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _LONGEST_CELL else f"{text[: _LONGEST_CELL - 3]}..."


def _state_text(row: Mapping[str, Any]) -> str:
    code = row.get("failure", {}).get("exit_code")
    return row["state"] if code is None else f"{row['state']}, exit code {code}"


def _aligned(table: Sequence[Sequence[str]]) -> list[str]:
    # The last column is the longest where it is a sentence, and needs no filling.
    widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in table]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return [f"{lines[0]} |", rule, *(f"{line} |" for line in lines[1:])]


def _read(path: pathlib.Path) -> dict[str, Any] | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
