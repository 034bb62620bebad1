"""Progress of one run: steps, and the figures of its last window."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tlj.progress import Progress


class RunProgress(Progress):
    """Shows step, loss, examples per second, the share of time spent waiting for input, and the time left.

    The figures are those of the last rows of ``metrics.jsonl``; nothing here waits for the device.

    Args:
      what: names the run.
      config: resolved, nested, of the run.
    """

    def __init__(self, what: str, config: Mapping[str, Any]):
        between = config["log"]["seconds"]
        super().__init__(what, config["steps"], unit="step", warms_up=True, seconds_between_lines=between)
        self._batch_size = config["global_batch_size"]
        self._window: list[str] = []
        self._validation: list[str] = []

    def on_window(self, row: Mapping[str, Any]) -> None:
        """Takes in a row as it is written to ``metrics.jsonl``."""
        if "loss" in row:
            self._window = [_figure("loss", row["loss"]), *self._pace(row.get("timing") or {})]
        if validation := [_figure(name, value) for name, value in row.items() if name.startswith("validation_")]:
            self._validation = validation
        self.describe([*self._window, *self._validation])

    def _pace(self, timing: Mapping[str, Any]) -> list[str]:
        step_s, share = timing.get("step_s"), timing.get("input_wait_share")
        pace = [f"{_rate(self._batch_size / step_s)} examples/s"] if step_s else []
        return pace + ([] if share is None else [f"{share:.0%} waiting for input"])


def _rate(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def _figure(name: str, value: Any) -> str:
    return f"{name} {value:.4g}" if isinstance(value, int | float) else f"{name} none"
