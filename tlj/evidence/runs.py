"""A comparison, finished or not, read from its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from tlj.errors import InputError, unknown_name
from tlj.evidence.run_files import Run, RunKey, failure, read_json, read_runs
from tlj.evidence.scores.metrics import Scores

REQUIRED = ("task", "metric", "margin", "twin", "arms", "budgets", "seeds", "steps", "global_batch_size", "runs")


@dataclass(frozen=True)
class Arm:
    """One way of training, as the comparison declared it.

    Args:
      name: the arm, ``strategy`` or ``strategy@init``.
      strategy: what is trained.
      init: where the backbone starts.
      role: ``twin`` (the arm the others are paired with), ``transfer`` (starts from pretrained parameters) or
        ``control`` (starts from something else).
      diff: ``{dotted key: (value in the twin, value in this arm)}`` of the two resolved configs.
      control: what the arm is a control for, for example ``random features``; empty where it is none.
    """

    name: str
    strategy: str
    init: str
    role: str
    diff: Mapping[str, tuple[Any, Any]]
    control: str = ""


@dataclass(frozen=True)
class Comparison:
    """What ``comparison.json`` declared and what the run directories hold so far.

    Args:
      directory: the comparison directory.
      declared: ``comparison.json``, as written.
      arms: the arms in the declared order.
      runs: the finished runs.
      missing: the declared runs that are not finished.
      step_time: ``step_time.json``, or None where it was not measured.
      manifest: the manifest of the first finished run, or None.
      failed: the declared runs that failed for good, each with why; they are not among the missing.
      ended: why the comparison was ended before its grid was full, or nothing.
    """

    directory: Path
    declared: Mapping[str, Any]
    arms: tuple[Arm, ...]
    runs: tuple[Run, ...]
    missing: tuple[RunKey, ...]
    step_time: Mapping[str, Any] | None
    manifest: Mapping[str, Any] | None
    failed: tuple[tuple[RunKey, str], ...] = ()
    ended: str = ""

    @property
    def twin(self) -> str:
        """The name of the arm that the others are paired with."""
        return self.declared["twin"]

    @property
    def budgets(self) -> tuple[int, ...]:
        """The label budgets, smallest first."""
        return tuple(sorted(int(b) for b in self.declared["budgets"]))

    @property
    def seeds(self) -> tuple[int, ...]:
        """The declared seeds."""
        return tuple(int(s) for s in self.declared["seeds"])

    @property
    def test_examples(self) -> int | None:
        """The size of the test set, or None before the first run is finished."""
        return self.runs[0].scores.examples if self.runs else None

    @cached_property
    def _cells(self) -> dict[tuple[str, int], dict[int, Scores]]:
        cells: dict[tuple[str, int], dict[int, Scores]] = {}
        for run in sorted(self.runs, key=lambda run: run.key.seed):
            cells.setdefault((run.key.arm, run.key.budget), {})[run.key.seed] = run.scores
        return cells

    def cell(self, arm: str, budget: int) -> Mapping[int, Scores]:
        """Returns the scores of an arm at a label budget by seed; empty where no run is finished."""
        return self._cells.get((arm, budget), {})


def read_comparison(directory: str | Path) -> Comparison:
    """Reads a comparison directory; runs without a ``summary.json`` are listed as missing.

    Args:
      directory: a directory that ``tlj compare`` wrote.

    Returns:
      The comparison.

    Raises:
      InputError: the directory is not a comparison, a file in it cannot be read, or two runs were scored on
        different test examples.
    """
    directory = Path(directory)
    if not (directory / "comparison.json").is_file():
        raise InputError(
            "not a comparison: it holds no comparison.json",
            where=str(directory),
            do="give the --workdir of a `tlj compare`",
        )
    declared = read_json(directory / "comparison.json")
    absent = [key for key in REQUIRED if key not in declared]
    if absent:
        raise InputError(
            f"lacks {', '.join(absent)}", where=str(directory / "comparison.json"), do="run `tlj compare` again"
        )
    names = [entry["arm"] for entry in declared["arms"]]
    if declared["twin"] not in names:
        raise unknown_name("twin", declared["twin"], names, where=str(directory / "comparison.json"))
    keys = [run_key(directory, entry) for entry in declared["runs"]]
    done = [key for key in keys if (directory / key.path / "summary.json").is_file()]
    failed = tuple((key, why) for key in set(keys).difference(done) if (why := failure(directory / key.path)))
    settled = {*done, *(key for key, _ in failed)}
    return Comparison(
        directory=directory,
        declared=declared,
        arms=tuple(_arm(entry, declared["twin"]) for entry in declared["arms"]),
        runs=read_runs(directory, done),
        missing=tuple(key for key in keys if key not in settled),
        step_time=_read_optional(directory / "step_time.json"),
        manifest=_read_optional(directory / done[0].path / "manifest.json") if done else None,
        failed=tuple(sorted(failed, key=lambda row: keys.index(row[0]))),
        ended=(_read_optional(directory / "ended.json") or {}).get("reason", ""),
    )


def _read_optional(path: Path) -> dict[str, Any] | None:
    return read_json(path) if path.is_file() else None


def run_key(directory: Path, entry: Mapping[str, Any]) -> RunKey:
    """Returns which run a row of ``comparison.json`` means.

    Args:
      directory: of the comparison.
      entry: the row.

    Raises:
      InputError: its path leaves the comparison.
    """
    path = PurePosixPath(entry["path"])
    if path.is_absolute() or ".." in path.parts:
        raise InputError(
            f"the run path {entry['path']!r} leaves the comparison",
            where=str(directory / "comparison.json"),
            do="run `tlj compare` again",
        )
    return RunKey(entry["arm"], int(entry["budget"]), int(entry["seed"]), str(path))


def _arm(entry: Mapping[str, Any], twin: str) -> Arm:
    name, init, strategy = entry["arm"], entry.get("init") or "", entry.get("strategy") or ""
    starts_elsewhere = init in ("scratch", "mean_var") or (not init and strategy == "scratch")
    role = "twin" if name == twin else "control" if starts_elsewhere else "transfer"
    diff = {key: tuple(values) for key, values in (entry.get("diff") or {}).items()}
    return Arm(name, strategy, init, role, diff, entry.get("control") or "")
