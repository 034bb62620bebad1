"""The check that a pair is a pair: its two runs differ in init, strategy and what was declared, and in nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tlj.errors import InputError
from tlj.evidence.run_files import Run, read_json
from tlj.evidence.runs import Comparison
from tlj.evidence.tuning import best_trial, read_trials

# What a pair may always differ in: the two things that are compared, and the rules that a strategy is made of.
FREE = frozenset({"strategy", "init", "rules"})
# What changes the examples of a pair or their order, where it is declared.
_OF_THE_DATA = ("data.", "global_batch_size", "optimizer.accumulate", "parallel.")
# How a run is carried out on a machine: no number depends on it but for the last bits.
_CARRYING_OUT = (
    *("data.memory", "data.threads", "data.workers", "steps_per_call", "remat", "parallel."),
    *("checkpoint.", "log.", "evaluate.batch_size"),
)


def check_pairs(comparison: Comparison) -> None:
    """Checks every arm's run against its twin's of the same label budget and seed, from what the runs wrote down.

    The two resolved configs are compared again, and the digests of what each run really read: its examples, its first
    batch and what was done to its inputs. A comparison of runs that were put together, edited or made by another
    version is caught here.

    Args:
      comparison: as it was read.

    Raises:
      InputError: naming the first run that differs from its twin in what was not declared, has not what the search
        chose for its arm, or whose ``config.json`` cannot be read.
    """
    allowed = {arm.name: _allowed(comparison, arm.name) for arm in comparison.arms}
    twins = {(run.key.budget, run.key.seed): run for run in comparison.runs if run.key.arm == comparison.twin}
    configs = {key: _config(comparison, twin) for key, twin in twins.items()}
    chosen = _chosen(comparison)
    for run in comparison.runs:
        place, config = (run.key.budget, run.key.seed), _config(comparison, run)
        if other := _not_as_chosen(config, chosen.get((run.key.arm, run.key.budget), {})):
            raise _refused(comparison, run, f"it has not what the search chose: {', '.join(other)}")
        if run.key.arm == comparison.twin or place not in twins:
            continue
        own = allowed[run.key.arm] | allowed[comparison.twin]
        confounds = _differences(config, configs[place], own)
        confounds += _read_otherwise(run, twins[place], own)
        if confounds:
            what = f"arm and twin differ in more than strategy and init: {', '.join(confounds)}"
            raise _refused(comparison, run, what)


def _refused(comparison: Comparison, run: Run, what: str) -> InputError:
    return InputError(
        what,
        where=str(comparison.directory / run.key.path),
        do="remove that run and run `tlj compare` again, or declare the difference in another comparison",
    )


def _chosen(comparison: Comparison) -> dict[tuple[str, int], Mapping[str, Any]]:
    """What the search chose, by arm and label budget, where its trials are all there."""
    tuning, cells = comparison.declared.get("tuning"), {}
    if not tuning:
        return {}
    path = comparison.directory / "config.json"
    whole = _flat(read_json(path)) if path.is_file() else {}
    # A rate that is meant for another batch is not the one that the runs were made with.
    scaled = {"optimizer.learning_rate"} if whole.get("optimizer.reference_batch") else set()
    for trial in read_trials(comparison.directory, tuning.get("trials") or (), tuning.get("metric", "")):
        cells.setdefault((trial.arm, trial.budget), []).append(trial)
    best = {cell: best_trial(trials, tuning.get("metric", "")) for cell, trials in cells.items()}
    found = {
        cell: {key: value for key, value in trial.values.items() if key not in scaled}
        for cell, trial in best.items()
        if trial is not None and not any(other.unfinished for other in cells[cell])
    }
    if tuning.get("budgets") == "largest":
        largest = {arm: max(budget for name, budget in found if name == arm) for arm, _ in found}
        return {(arm, budget): found[arm, largest[arm]] for arm in largest for budget in comparison.budgets}
    return found


def _not_as_chosen(config: Mapping[str, Any], chosen: Mapping[str, Any]) -> list[str]:
    return [
        f"{key} is {config[key]!r}, not {value!r}" for key, value in chosen.items() if config.get(key, value) != value
    ]


def _allowed(comparison: Comparison, arm: str) -> frozenset[str]:
    """The keys that an arm was declared to have for itself, and those that were tuned."""
    entry = next(entry for entry in comparison.declared["arms"] if entry["arm"] == arm)
    tuned = ((comparison.declared.get("tuning") or {}).get("spaces") or {}).get(arm) or {}
    return frozenset({*_flat(entry.get("declared") or {}), *(entry.get("diff") or {}), *tuned})


def _config(comparison: Comparison, run: Run) -> dict[str, Any]:
    path = comparison.directory / run.key.path / "config.json"
    return _flat(read_json(path)) if path.is_file() else {}


def _flat(nested: Mapping[str, Any], start: str = "") -> dict[str, Any]:
    leaves = {}
    for name, value in nested.items():
        if isinstance(value, Mapping):
            leaves |= _flat(value, f"{start}{name}.")
        else:
            leaves[start + name] = value
    return leaves


def _differences(own: Mapping[str, Any], twin: Mapping[str, Any], allowed: Iterable[str]) -> list[str]:
    if not own or not twin or own == twin:
        return []
    keys = sorted(key for key in own.keys() | twin.keys() if own.get(key) != twin.get(key))
    free = {*allowed, *FREE}
    # A run that an earlier version made may lack a key: absent is what that version did.
    return [
        f"{key} ({twin[key]!r} against {own[key]!r})"
        for key in keys
        if key not in free and key in own and key in twin and not key.startswith(_CARRYING_OUT)
    ]


def _read_otherwise(run: Run, twin: Run, allowed: Iterable[str]) -> list[str]:
    own, other = run.summary.get("pair") or {}, twin.summary.get("pair") or {}
    if any(key.startswith(_OF_THE_DATA) for key in allowed):
        return []
    names = {"split": "the examples", "first_batch": "the first batch", "preprocessing": "the preprocessing"}
    return [words for key, words in names.items() if key in own and key in other and own[key] != other[key]]
