"""What the files of a run tell of the model that is exported from it: how it was made, and its figures."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from tlj.errors import InputError
from tlj.metric_names import metric_names
from tlj.models.registry import family_of, make_spec
from tlj.pretrained.export.markdown import code, place
from tlj.pretrained.load import Model
from tlj.pretrained.load_plan import HEAD
from tlj.pretrained.run_source import read_run_file

_UNKNOWN = "not known"
_SHARES = ("accuracy", "subset_accuracy")
# What a run took from its source, where that is not the backbone.
_TAKEN = {
    "scratch": "Architecture and preprocessing",
    "mean_var": "Mean and variance at which the backbone was redrawn",
}


def run_facts(model: Model) -> tuple[list[str], list[str]]:
    """Returns what a run tells, as two lists of lines of Markdown: how the model was made, and its figures.

    Both are empty for a model whose backbone is not that of a run.

    Args:
      model: that was loaded.
    """
    backbone = [row for row in model.report.leaves if not row.path.startswith(HEAD)]
    if model.step is None or not {row.status for row in backbone} <= {"loaded", "resized", "ignored"}:
        return [], []
    run = pathlib.Path(model.location)
    manifest, config, summary = (_file(run, f"{name}.json") for name in ("manifest", "config", "summary"))
    if not manifest:  # the run was removed since the load
        return [], []
    return _making(model, manifest, config, summary), _figures(model, run, manifest, summary)


def _file(run: pathlib.Path, name: str) -> Mapping[str, Any]:
    try:
        return read_run_file(run, name)
    except InputError:  # a run that is not finished has no summary
        return {}


def _making(
    model: Model, manifest: Mapping[str, Any], config: Mapping[str, Any], summary: Mapping[str, Any]
) -> list[str]:
    told, data = _part(config, "model"), _part(manifest, "data")
    split = ", ".join(
        f"{_whole(summary.get(f'{part}_examples'))} {what}"
        for part, what in (("train", "to train on"), ("validation", "to validate on"))
    )
    lines = [
        f"Strategy {code(config.get('strategy', _UNKNOWN))}, init {code(manifest.get('init', _UNKNOWN))}.",
        f"Data {code(place(str(data.get('source', _UNKNOWN))))}, content hash {code(data.get('hash', _UNKNOWN))}.",
        f"Label budget {_whole(summary.get('label_budget', config.get('label_budget')))}"
        + (f": {split}." if summary else "."),
        f"Seed {_name(config.get('seed'))}; {_whole(config.get('steps'))} steps of "
        f"{_whole(config.get('global_batch_size'))} examples. The weights here are those of step {model.step}.",
    ]
    if source := told.get("source"):
        found = _part(manifest, "model").get("source_identity") or told.get("source_hash")
        identity = f", hash {code(found)}" if found else ""
        what = _TAKEN.get(str(manifest.get("init")), "Source of the backbone")
        lines.append(f"{what}: {code(place(str(source)))}{identity}.")
    if _part(manifest, "model").get("adapters"):
        lines.append("Adapters (LoRA) were trained; they are merged into the weights.")
    versions = ", ".join(code(f"{name} {version}") for name, version in _part(manifest, "versions").items())
    return [*lines, f"Trained with {versions or _UNKNOWN}; hash of the run {code(model.identity)}."]


def _figures(model: Model, run: pathlib.Path, manifest: Mapping[str, Any], summary: Mapping[str, Any]) -> list[str]:
    if not _is_the_runs_model(model, manifest):
        return ["This is not the model as the run left it, so the figures of the run are not its own."]
    if not summary:
        return ["The run was not finished, so nothing was tested.", *_validated(run, model)]
    if summary.get("steps") != model.step:
        last = _name(summary.get("steps"))
        untested = f"Only the last step, {last}, was tested; these are the weights of step {model.step}."
        return [untested, *_validated(run, model)]
    metrics, seed = _part(summary, "metrics"), _name(summary.get("seed"))
    lines = [
        f"Test {_told(metrics, model.task, 'test')}, on "
        f"{_whole(summary.get('test_examples'))} examples: one run, seed {seed}, at a label budget of "
        f"{_whole(summary.get('label_budget'))}.",
    ]
    if _is_number(metrics.get("validation_loss")):
        lines.append(
            f"Validation {_told(metrics, model.task, 'validation')}, on "
            f"{_whole(summary.get('validation_examples'))} examples."
        )
    return lines + _over_seeds(run)


def _is_the_runs_model(model: Model, manifest: Mapping[str, Any]) -> bool:
    told = _part(manifest, "model")
    family = family_of(model.spec)
    # Of two classes a run has one logit where its model has two (``tlj.pretrained.published_head``).
    spec = dataclasses.replace(make_spec(family.name, told["spec"]), num_classes=model.spec.num_classes)
    return (
        {row.status for row in model.report.leaves} == {"loaded"}
        and spec == model.spec
        and family.preprocessing(**told["preprocessing"]) == model.preprocessing
    )


def _validated(run: pathlib.Path, model: Model) -> list[str]:
    """The validation at a step, from the lines that the run wrote while it went."""
    log = run / "metrics.jsonl"
    for line in reversed(log.read_text(encoding="utf-8").splitlines() if log.is_file() else []):
        try:
            row = json.loads(line)
        except ValueError:  # a kill may leave the last line cut
            continue
        if isinstance(row, dict) and row.get("step") == model.step and "validation_loss" in row:
            return [f"Validation {_told(row, model.task, 'validation')}, at step {model.step}."]
    return []


def _told(metrics: Mapping[str, Any], task: str, part: str) -> str:
    """The metrics of a part in words, the main one first: ``accuracy 97.5%, loss 0.0812``."""
    _, *names = metric_names(task or "multiclass", part="")
    told = {name: metrics.get(f"{part}_{name}") for name in (*names, "loss")}
    shown = {name: _share(value) if name in _SHARES else _number(value) for name, value in told.items()}
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in shown.items())


def _over_seeds(run: pathlib.Path) -> list[str]:
    """The mean over seeds with its interval, where the run is one of a comparison that has been reported."""
    for folder in run.absolute().parents:
        if not (folder / "comparison.json").is_file():
            continue
        path = run.absolute().relative_to(folder).as_posix()
        own = next((row for row in _file(folder, "comparison.json").get("runs", []) if row.get("path") == path), {})
        summary = _file(folder, "summary.json")
        for cell in summary.get("cells", []):
            if own and (cell["arm"], cell["budget"]) == (own["arm"], own["budget"]) and cell.get("interval"):
                low, high = (_share(bound) for bound in cell["interval"])
                return [
                    f"Over the {len(cell['seeds'])} seeds of its comparison: test accuracy {_share(cell['mean'])}, "
                    f"{summary.get('confidence', 0.95):.0%} interval {low} to {high}."
                ]
    return []


def _part(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = content.get(name)
    return found if isinstance(found, dict) else {}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _share(value: Any) -> str:
    return f"{value:.1%}" if _is_number(value) else _UNKNOWN


def _number(value: Any) -> str:
    return f"{value:.4f}" if _is_number(value) else _UNKNOWN


def _whole(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else _name(value)


def _name(value: Any) -> str:
    return str(value) if isinstance(value, int) else code(_UNKNOWN if value is None else value)
