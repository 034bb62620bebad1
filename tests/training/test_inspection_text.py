import pytest

from tlj.training.inspection_text import format_inspection


def leaf(path, group, optimizer_bytes=0):
    row = {"path": path, "shape": [2, 3], "dtype": "float32", "bytes": 2400}
    return {**row, "group": group, "optimizer_bytes": optimizer_bytes}


def statistic(path, mode, distance):
    return {"path": path, "shape": [2], "dtype": "float32", "bytes": 8, "norm_mode": mode, "distance": distance}


@pytest.fixture
def report():
    """A head that trains on a frozen block with statistics."""
    depth = {"leaves": 2, "trained_now": 0}
    return {
        "step": 24,
        "phase": 1,
        "metrics": {"validation_loss": 0.25, "validation_accuracy": 0.875, "validation_auroc": None},
        "evaluated": "params",
        "kept": "all",
        "base": None,
        "base_problem": None,
        "phase_starts": [0, 12],
        "leaves": [leaf("backbone/block0/kernel", "frozen"), leaf("head/kernel", "head", 4800)],
        "statistics": [statistic("backbone/block0/norm/mean", "frozen", 0.0)],
        "bytes": {"params": 4800, "batch_stats": 8, "opt_state": 4804, "step": 4, "total": 9616, "on_disk": 5000},
        "frozen_since_phase_start_unchanged": True,
        "changed_since_phase_start": [],
        "never_trained": 1,
        "largest_frozen_change": 0.0,
        "moved_by_depth": [
            {**depth, "depth": 0, "trained": 0, "distance": 0.0, "relative": 0.0},
            {**depth, "depth": 1, "trained": 2, "distance": 0.125, "relative": 0.5},
            {**depth, "depth": 2, "trained": 2, "distance": 0.5, "relative": None},
        ],
    }


def test_it_says_what_is_there_what_moved_and_that_the_rest_did_not(report):
    assert format_inspection(report).splitlines() == [
        "step 24, phase 1 (from step 12)",
        "validation_accuracy 0.875, validation_auroc undefined, validation_loss 0.25",
        "",
        "leaf                       array          bytes  of optimizer  group",
        "backbone/block0/kernel     float32[2, 3]  2,400  0             frozen",
        "head/kernel                float32[2, 3]  2,400  4,800         head",
        "backbone/block0/norm/mean  float32[2]     8      0             statistics, frozen",
        "",
        "bytes: 4,800 of parameters, 8 of statistics, 4,804 of optimizer state, 4 of other: 9,616; in files: 5,000",
        "",
        "depth  trained leaves  trained now  moved by  of the init's norm",
        "0      0 of 2          0 of 2       nothing   0.00%",
        "1      2 of 2          0 of 2       0.125     50.00%",
        "2      2 of 2          0 of 2       0.5       -",
        "",
        "1 leaves that no phase has trained are, bit for bit, what the run started from: the largest change is 0",
        "",
        "running statistics: 1 in mode frozen; 0 of 1 have moved since the run started",
        "",
        "the 1 frozen leaves and 1 frozen statistics of phase 1 have not changed since it began at step 12",
    ]


@pytest.mark.parametrize(
    ("source", "init", "origin"),
    [("source", "pretrained", "pretrained, from source 'source'"), ("", "scratch", "scratch, from the seed 3")],
)
def test_a_delta_names_the_base_that_it_is_a_delta_on(report, source, init, origin):
    base = {"digest": "0123456789abcdef", "source": source, "init": init, "seed": 3}
    text = format_inspection({**report, "kept": "trainable", "base": base})
    assert text.splitlines()[1] == f"kept: trainable, the rest is the base 0123456789abcdef ({origin})"


def test_what_should_not_have_moved_and_did_is_said(report):
    report |= {"largest_frozen_change": 0.25, "frozen_since_phase_start_unchanged": False}
    text = format_inspection({**report, "changed_since_phase_start": ["backbone/block0/kernel"]})
    assert "1 leaves that no phase has trained should be what the run started from, and are not" in text
    assert "the largest change is 0.25" in text
    assert text.endswith("these have changed since it began at step 12: backbone/block0/kernel")
    assert "bit for bit" not in text


def test_without_the_source_the_phase_is_still_told(report):
    report["statistics"][0]["distance"] = None
    text = format_inspection({**report, "moved_by_depth": None, "largest_frozen_change": None})
    assert "the model source of this run is gone or another one" in text
    assert "have not changed since it began at step 12" in text
    assert "running statistics: 1 in mode frozen\n" in text
    assert "bit for bit" not in text


def test_where_everything_trains_nothing_is_said_to_be_frozen(report):
    for row in report["leaves"]:
        row["group"] = "head"
    text = format_inspection({**report, "statistics": [], "never_trained": 0})
    assert "every leaf has been trained by some phase" in text
    assert text.endswith("nothing is frozen in phase 1")


def test_a_checkpoint_that_was_not_validated_has_no_line_of_metrics(report):
    assert format_inspection({**report, "metrics": {}}).splitlines()[:2] == ["step 24, phase 1 (from step 12)", ""]


def test_averages_are_named_and_counted(report):
    text = format_inspection({**report, "evaluated": "ema", "bytes": {**report["bytes"], "ema": 2400}})
    assert "the moving averages are told, as the run was evaluated" in text
    assert "4,804 of optimizer state, 2,400 of averages, 4 of other" in text


def test_a_delta_whose_base_is_gone_says_so_and_no_more_than_it_knows(report):
    gone = {"base_problem": "here: no base", "moved_by_depth": None, "largest_frozen_change": None}
    text = format_inspection({**report, **gone, "frozen_since_phase_start_unchanged": None})
    assert "cannot be made again, so of it there is less to tell: here: no base" in text
    assert text.endswith("have changed since it began cannot be told of all")
    assert "the model source of this run" not in text
    assert "have not changed" not in text
    text = format_inspection(
        {**report, **gone, "changed_since_phase_start": ["a"], "frozen_since_phase_start_unchanged": None}
    )
    assert text.endswith("these have changed since it began at step 12: a")
