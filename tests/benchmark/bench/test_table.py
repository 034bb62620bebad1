"""The table on the screen."""

from tlj.benchmark.bench import table
from tlj.benchmark.bench.table import format_bench

WHAT = {"model": {"family": "vit"}, "dtype": "float32"}
ROW = {
    "strategy": "full", "phase": 0, "start_rule": "step 0", "devices": 1, "simulated": False, "batch": 8, "flops": 4e9,
    "relative_flops": 1.0, "compile_s": 1.0, "peak_bytes": 1 << 20, "instructions": 10, "reductions": 0,
    "reduced_bytes": 0, "steps_per_window": 20, "median_s": 0.5, "p5_s": 0.4, "p95_s": 0.6, "window_s": [0.5],
    "examples_per_s": 16.0, "mfu": None, "relative_time": 1.0, "input_wait_share": 0.125, "input_wait_reason": None,
}  # fmt: skip
UNTIMED = dict.fromkeys(
    ("steps_per_window", "median_s", "p5_s", "p95_s", "window_s", "examples_per_s", "mfu", "relative_time",
     "input_wait_share", "weak_scaling")
)  # fmt: skip


def told(*rows, **more):
    return format_bench({"what": WHAT, "device": "cpu", "windows": 1, "rows": list(rows), **more}).splitlines()


def test_a_cell_has_the_digits_that_were_measured():
    row = dict.fromkeys(table.COLUMNS.values()) | {
        "median_s": 0.0029551, "p5_s": 1.234, "p95_s": 12.34, "peak_bytes": 3 << 20, "mfu": 0.4567,
        "relative_time": 0.25, "examples_per_s": 12345.6, "compile_s": 3.14, "input_wait_share": 0.0123,
        "reduced_bytes": 2048, "flops_per_device": 1.5e11, "instructions": 12345, "weak_scaling": 0.987,
    }  # fmt: skip
    cells = {name: table._cell(name, row) for name in table.COLUMNS.values()}
    assert cells == {
        "strategy": "-", "phase": "-", "devices": "-", "batch": "-", "median_s": "2.96 ms",
        "p5_s": "1,234 to 12,340 ms", "examples_per_s": "12,345.6", "weak_scaling": "98.7%", "relative_time": "0.250",
        "relative_flops": "-", "flops_per_device": "150 G", "mfu": "45.7%", "input_wait_share": "1.2%",
        "compile_s": "3.1 s", "peak_bytes": "3 MiB", "reductions": "-", "reduced_bytes": "2 KiB",
        "instructions": "12,345",
    }  # fmt: skip


def test_a_column_stands_only_where_it_says_something():
    header = told(ROW)[1]
    assert "batch" not in header
    assert "devices" not in header
    assert "batch" in told(ROW, {**ROW, "batch": 16})[1]


def test_one_size_is_in_the_title_and_several_are_in_the_rows():
    assert told(ROW)[0] == "vit, float32, batch 8, 1 x cpu"
    assert told(ROW, {**ROW, "batch": 16})[0] == "vit, float32, cpu"


def test_of_simulated_devices_no_speed_is_claimed():
    rows = [{**ROW, **UNTIMED, "devices": count, "batch": 8 * count, "simulated": True} for count in (1, 4)]
    _, header, first, second, *notes = told(*rows, batch_per_device=8)
    assert header.split() == [
        "strategy", "phase", "devices", "batch", "FLOPs", "FLOPs/device", "compile", "memory", "reductions", "reduced",
        "instructions",
    ]  # fmt: skip
    assert (first.split()[2:6], second.split()[2:6]) == (["1", "8", "1.000", "4"], ["4", "32", "1.000", "1"])
    assert "no speed is claimed" in notes[0]
    assert notes[1].startswith("every device has 8 examples (weak scaling)")


def test_why_input_was_not_measured_is_said_once():
    reason = {"input_wait_share": None, "input_wait_reason": "batches of several lengths"}
    lines = told({**ROW, **reason}, {**ROW, **reason, "batch": 16})
    assert lines[-1] == "input not measured: batches of several lengths"
    assert sum("not measured" in line for line in lines) == 1
