"""What was measured as figures: step time beside FLOPs, throughput by batch, memory, and growth with devices."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from tlj.benchmark.bench.request import REFERENCE
from tlj.evidence.page.drawing import GRID, MARKERS, MUTED, SERIES, WIDE, save_figure, style

Row = Mapping[str, Any]


def write_plots(measured: Mapping[str, Any], folder: pathlib.Path) -> list[pathlib.Path]:
    """Writes each figure that the measurements have something for, as PNG and PDF.

    Args:
      measured: as ``bench`` or ``bench_scaling`` return it.
      folder: made where it is missing; figures of the same names are replaced.

    Returns:
      The files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = _distinct(measured["rows"])
    files = []
    with style():
        for name, draw in _figures(rows).items():
            figure = draw(rows)
            figure.suptitle(_caption(measured), fontsize=7.5, color=MUTED, x=0.01, ha="left")
            files += save_figure(figure, folder / name)
    return files


def _figures(rows: Sequence[Row]) -> dict[str, Callable[[Sequence[Row]], Figure]]:
    """What there is to draw: nothing by batch or by devices where there is one of them, and no times without any."""
    timed, batches = [row for row in rows if row["median_s"] is not None], {row["batch"] for row in rows}
    if len({row["devices"] for row in rows}) > 1:
        return {"scaling": scaling_figure}
    by_batch = {"throughput": throughput_figure} if timed and len(batches) > 1 else {}
    return {**({"step_time": step_time_figure} if timed else {}), **by_batch, "memory": memory_figure}


def _distinct(rows: Sequence[Row]) -> list[Row]:
    """The rows, named, but those that ran the program of another: of ``full``, or of an earlier strategy."""
    several = {row["strategy"] for row in rows if row["phase"]}
    seen, kept = set(), []
    # The reference comes first here, so that what is as it is stays out, and last in the figures.
    for row in sorted(rows, key=lambda row: row["strategy"] != REFERENCE):
        key = (row["batch"], row["devices"], row["flops"], row["peak_bytes"], row["median_s"])
        if key not in seen:
            phase = f", phase {row['phase']}" if row["strategy"] in several else ""
            kept.append({**row, "name": f"{row['strategy']}{phase}"})
        seen.add(key)
    return sorted(kept, key=lambda row: row["strategy"] == REFERENCE)


def _caption(measured: Mapping[str, Any]) -> str:
    what, rows = measured["what"], measured["rows"]
    batches = {row["batch"] for row in rows}
    shown = f", batch {min(batches)}" if len(batches) == 1 else ""
    simulated = ", devices simulated" if any(row["simulated"] for row in rows) else ""
    # A line holds as many characters as any text of a figure may have.
    return (
        f"{what['model']['family']}, {what['dtype']}{shown}\n{measured['device']}{simulated}\n"
        f"{measured['date'][:10]}, JAX {measured['versions']['jax']}"
    )


def _of_largest_batch(rows: Sequence[Row]) -> list[Row]:
    largest = max(row["batch"] for row in rows)
    return [row for row in rows if row["batch"] == largest]


def _bars(axes: Axes, names: Sequence[str]) -> np.ndarray:
    """Gives horizontal bars their names, the first at the top, and returns their places."""
    places = np.arange(len(names))
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    return places


def step_time_figure(rows: Sequence[Row]) -> Figure:
    """Draws the step time of each strategy beside its FLOPs, both relative to ``full``, at the largest batch.

    Args:
      rows: of ``bench``.
    """
    shown = _of_largest_batch(rows)
    figure = Figure(figsize=(WIDE, 1.5 + 0.42 * len(shown)), layout="constrained")
    axes = figure.add_subplot()
    places = _bars(axes, [row["name"] for row in shown])
    for offset, name, label, colour in (
        (-0.19, "relative_time", "time of a step", SERIES[0]), (0.19, "relative_flops", "FLOPs", SERIES[4]),
    ):  # fmt: skip
        values = [row[name] for row in shown]
        axes.barh(places + offset, values, 0.36, color=colour, label=label)
        for place, row, value in zip(places, shown, values, strict=True):
            seconds = f"  ({row['median_s'] * 1e3:,.3g} ms)" if name == "relative_time" else ""
            axes.text(value, place + offset, f" {value:.3f}{seconds}", va="center", fontsize=7.5)
    axes.set_xlim(0, 1.25 * max(max(row["relative_time"], row["relative_flops"]) for row in shown))
    axes.set_xlabel(f"relative to {REFERENCE}, batch {shown[0]['batch']}")
    axes.set_title("A step, and what it computes")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0.2)
    return figure


def memory_figure(rows: Sequence[Row]) -> Figure:
    """Draws the memory that each strategy takes at most, at the largest batch.

    Args:
      rows: of ``bench``.
    """
    shown = [row for row in _of_largest_batch(rows) if row["peak_bytes"] is not None]
    figure = Figure(figsize=(WIDE, 1.3 + 0.3 * max(len(shown), 1)), layout="constrained")
    axes = figure.add_subplot()
    places = _bars(axes, [row["name"] for row in shown])
    values = [row["peak_bytes"] / 2**20 for row in shown]
    axes.barh(places, values, 0.6, color=SERIES[0])
    for place, value in zip(places, values, strict=True):
        axes.text(value, place, f" {value:,.0f}", va="center", fontsize=7.5)
    axes.set_xlim(0, 1.15 * max(values, default=1.0))
    axes.set_xlabel(f"MiB per device, batch {max(row['batch'] for row in rows)}")
    axes.set_title("Memory of a step")
    return figure


def throughput_figure(rows: Sequence[Row]) -> Figure:
    """Draws examples per second by batch, a line for each strategy.

    Args:
      rows: of ``bench`` at several batches.
    """
    figure = Figure(figsize=(WIDE, 2.9), layout="constrained")
    axes = figure.add_subplot()
    _lines(axes, rows, "batch", "examples_per_s")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:,.6g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("examples in a batch")
    axes.set_ylabel("examples/s")
    axes.set_title("Throughput by batch (logarithmic)")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def scaling_figure(rows: Sequence[Row]) -> Figure:
    """Draws what grows with the number of devices, each of which has the same batch.

    Args:
      rows: of ``bench_scaling``.
    """
    panels = {
        "flops_per_device": "GFLOP per device and step",
        "reduced_bytes": "MiB that a device adds to reductions",
        "peak_bytes": "MiB of memory per device",
        "weak_scaling": "examples/s per device, by the first",
        "instructions": "instructions of the program",
    }
    scaled = [
        {**row, "flops_per_device": row["flops"] / row["devices"] / 1e9, "reduced_bytes": row["reduced_bytes"] / 2**20,
         "peak_bytes": row["peak_bytes"] and row["peak_bytes"] / 2**20}
        for row in rows
    ]  # fmt: skip
    panels = {name: title for name, title in panels.items() if all(row.get(name) is not None for row in scaled)}
    figure = Figure(figsize=(WIDE, 2.5 * ((len(panels) + 1) // 2)), layout="constrained")
    for number, (name, title) in enumerate(panels.items()):
        axes = figure.add_subplot((len(panels) + 1) // 2, 2, number + 1)
        _lines(axes, scaled, "devices", name)
        axes.set_ylim(0, 1.15 * max(max(row[name] for row in scaled), 1e-9))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.set_title(title)
        axes.set_xlabel("devices")
        if not number:
            axes.legend(loc="lower right")
    return figure


def _lines(axes: Axes, rows: Sequence[Row], across: str, name: str) -> None:
    """Draws one line for each strategy and phase over a logarithmic axis of the sizes that were measured."""
    sizes = sorted({row[across] for row in rows})
    for number, key in enumerate(dict.fromkeys((row["strategy"], row["phase"]) for row in rows)):
        own = sorted((row for row in rows if (row["strategy"], row["phase"]) == key), key=lambda row: row[across])
        look = {"color": SERIES[number % len(SERIES)], "marker": MARKERS[number % len(MARKERS)], "markersize": 4}
        axes.plot([row[across] for row in own], [row[name] for row in own], label=own[0]["name"], **look)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(sizes))
    axes.xaxis.set_major_formatter(FixedFormatter([f"{size:,}" for size in sizes]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(axis="y", color=GRID, linewidth=0.7)
