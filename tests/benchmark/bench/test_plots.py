"""Figures of made-up measurements."""

import pytest

from tlj.benchmark.bench import plots
from tlj.benchmark.bench.plots import write_plots

FACTS = {
    "date": "2026-11-22T08:00:00+00:00", "device": "NVIDIA H200", "versions": {"jax": "0.10.2"},
    "what": {"model": {"family": "vit"}, "dtype": "bfloat16"},
}  # fmt: skip


def row(strategy, share, phase=0, **more):
    return {
        "strategy": strategy, "phase": phase, "devices": 1, "simulated": False, "batch": 8, "flops": 1e9 * share,
        "peak_bytes": int(share * 2**24), "median_s": share, "relative_time": share, "relative_flops": share,
        "examples_per_s": 8 / share, "reductions": 0, "reduced_bytes": 0, "instructions": 100, **more,
    }  # fmt: skip


ROWS = [row("linear_probe", 0.3), row("lp_ft:10", 0.3), row("lp_ft:10", 1.0, 1), row("full", 1.0)]


def names(files):
    return [file.name for file in files]


def drawn(figure):
    return [text.get_text() for axes in figure.axes for text in (*axes.get_yticklabels(), *axes.texts)]


def test_only_what_was_measured_is_drawn(tmp_path):
    files = write_plots({**FACTS, "rows": ROWS}, tmp_path / "new")
    assert names(files) == ["step_time.png", "step_time.pdf", "memory.png", "memory.pdf"]
    assert all(file.stat().st_size > 3000 for file in files)


def test_there_is_a_figure_by_batch_where_there_are_several():
    rows = [*ROWS, row("full", 2.0, batch=32)]
    assert list(plots._figures(rows)) == ["step_time", "throughput", "memory"]
    axes = plots.throughput_figure(plots._distinct(rows)).axes[0]
    assert [line.get_label() for line in axes.lines] == ["linear_probe", "full"]
    assert list(axes.lines[1].get_xdata()) == [8, 32]


def test_devices_have_a_figure_of_their_own_without_what_was_not_timed(tmp_path):
    untimed = {"median_s": None, "relative_time": None, "examples_per_s": None, "simulated": True, "weak_scaling": None}
    rows = [row("full", 1.0 * n, devices=n, batch=8 * n, **untimed) for n in (1, 2, 4)]
    assert names(write_plots({**FACTS, "rows": rows}, tmp_path)) == ["scaling.png", "scaling.pdf"]
    figure = plots.scaling_figure(plots._distinct(rows))
    assert len(figure.axes) == 4
    assert list(figure.axes[0].lines[0].get_ydata()) == pytest.approx([1.0, 1.0, 1.0])
    timed = [{**one, "weak_scaling": 0.9} for one in rows]
    assert len(plots.scaling_figure(plots._distinct(timed)).axes) == 5


def test_a_program_is_drawn_once_and_full_under_its_own_name():
    assert [one["name"] for one in plots._distinct(ROWS)] == ["linear_probe", "full"]
    other = [*ROWS, row("gradual:5", 0.5), row("gradual:5", 0.7, 1)]
    assert [one["name"] for one in plots._distinct(other)] == [
        "linear_probe", "gradual:5, phase 0", "gradual:5, phase 1", "full",
    ]  # fmt: skip


def test_every_bar_says_its_figure():
    texts = drawn(plots.step_time_figure(plots._distinct(ROWS)))
    assert texts[:2] == ["linear_probe", "full"]
    assert " 0.300  (300 ms)" in texts
    assert " 5" in drawn(plots.memory_figure(plots._distinct(ROWS)))


def test_no_figure_without_the_device_the_date_and_the_version():
    assert plots._caption({**FACTS, "rows": ROWS}).splitlines() == [
        "vit, bfloat16, batch 8", "NVIDIA H200", "2026-11-22, JAX 0.10.2",
    ]  # fmt: skip
    assert "devices simulated" in plots._caption({**FACTS, "rows": [row("full", 1.0, simulated=True)]})
