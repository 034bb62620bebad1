"""When a comparison ends before its grid is full: a target reached, hours or dollars spent, a date come."""

from __future__ import annotations

import datetime
import json
import pathlib
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from tlj.distributed import agree, is_main
from tlj.errors import InputError
from tlj.evidence.run_files import score_run
from tlj.experiments.grid import PlannedRun
from tlj.experiments.price_file import price_of_an_hour
from tlj.metric_names import judged_metric, lower_is_better
from tlj.training.run_files import write_json

ENDED = "ended.json"


def declared_exit(config: ConfigDict) -> dict[str, Any]:
    """Returns the exit criteria that a config declares; those that it leaves out are not in it."""
    return {name: value for name, value in config.exit.to_dict().items() if value}


def open_exits(config: ConfigDict, workdir: pathlib.Path) -> Exits:
    """Returns the exit criteria of a comparison.

    Args:
      config: of the comparison.
      workdir: of the comparison.

    Raises:
      InputError: where dollars are to end it, and the prices have none for this device.
    """
    import jax

    metric, kind = judged_metric(config.metric, config.task), jax.devices()[0].device_kind
    price = price_of_an_hour(config, kind) if config.exit.dollars else None
    if config.exit.dollars and price is None:
        do = f"add an accelerator with the kind {kind!r}"
        raise InputError(f"dollars are to end it, and an hour of {kind!r} has no price", where="config.prices", do=do)
    return Exits(config, metric, workdir, price, lambda run: score_run(run).value(metric))


class Exits:
    """The exit criteria of a comparison, asked before each run.

    Args:
      config: of the comparison.
      metric: what it is judged by.
      workdir: of the comparison.
      price: dollars per accelerator-hour; None where there is none.
      score: returns the judged metric of a finished run.
      now: returns the time.
    """

    def __init__(
        self,
        config: ConfigDict,
        metric: str,
        workdir: pathlib.Path,
        price: float | None,
        score: Callable[[pathlib.Path], float | None],
        now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
    ):
        self._declared, self._metric, self._workdir = declared_exit(config), metric, workdir
        self._price, self._score, self._now = price, score, now
        self._hours: dict[str, float] = {}
        self._scores: dict[str, float | None] = {}
        self._lock = threading.Lock()

    def reason(self, runs: Sequence[PlannedRun]) -> str:
        """Returns why no further run begins, in words; empty where one may. Every process must ask.

        Args:
          runs: of all that were planned so far, trials included.
        """
        if not self._declared:
            return ""
        with self._lock:
            return agree(self._reason(runs) if is_main() else "")

    def _reason(self, runs: Sequence[PlannedRun]) -> str:
        said = self._declared
        if "date" in said and (today := self._now().date().isoformat()) >= said["date"]:
            return f"the date {said['date']} has come ({today} UTC)"
        done = [run for run in runs if (self._workdir / run.folder / "summary.json").exists()]
        if "hours" in said or "dollars" in said:
            hours = self._spent(done)
            if hours >= said.get("hours", float("inf")):
                return f"{hours:.3g} accelerator-hours are spent of the {said['hours']:g} declared"
            if self._price is not None and hours * self._price >= said.get("dollars", float("inf")):
                return f"${hours * self._price:,.2f} are spent of the ${said['dollars']:,.2f} declared"
        return self._reached(runs, done) if "target" in said else ""

    def _spent(self, done: Sequence[PlannedRun]) -> float:
        """Accelerator-hours of the runs that are done, and of the source, from start to end of each."""
        source = ["source"] if (self._workdir / "source" / "summary.json").exists() else []
        for name in [*source, *(str(run.folder) for run in done)]:
            if name not in self._hours:
                summary = json.loads((self._workdir / name / "summary.json").read_text())
                seconds = (summary["timing"]["wall_s"] or 0.0) * summary["cost"]["devices"]
                self._hours[name] = seconds / 3600
        return sum(self._hours.values())

    def _reached(self, runs: Sequence[PlannedRun], done: Sequence[PlannedRun]) -> str:
        """The first cell whose seeds are all done and whose mean has reached the target."""
        finished, cells = {run.folder for run in done}, {}
        for run in runs:
            if run.folder.parts[0] == "runs":
                cells.setdefault((run.arm.name, run.budget), []).append(run)
        target, lower = self._declared["target"], lower_is_better(self._metric)
        for (arm, budget), wanted in cells.items():
            if not all(run.folder in finished for run in wanted):
                continue
            values = [self._value(run) for run in wanted]
            if None in values:
                continue
            mean = sum(values) / len(values)
            if mean <= target if lower else mean >= target:
                return f"{arm} at {budget:,} labels has reached {self._metric} {mean:.4g}, the target being {target:g}"
        return ""

    def _value(self, run: PlannedRun) -> float | None:
        name = str(run.folder)
        if name not in self._scores:
            self._scores[name] = self._score(self._workdir / name)
        return self._scores[name]


def write_ended(workdir: pathlib.Path, reason: str, declared: Mapping[str, Any]) -> None:
    """Writes down why a comparison ended, for its report; nothing where it did not end early.

    Args:
      workdir: of the comparison.
      reason: in words; empty where there is none.
      declared: the exit criteria.
    """
    if not is_main():
        return
    if reason:
        write_json(workdir / ENDED, {"reason": reason, "declared": dict(declared)})
    else:
        (workdir / ENDED).unlink(missing_ok=True)
