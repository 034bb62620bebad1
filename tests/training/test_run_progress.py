import pytest

from tlj.training.run_progress import RunProgress

CONFIG = {"steps": 40, "global_batch_size": 32, "log": {"seconds": 0.001}}
ROW = {
    "step": 10,
    "phase": 0,
    "loss": 0.41237,
    "learning_rate": {"head": 0.1},
    "timing": {"step_s": 0.002, "input_wait_share": 0.034},
}


@pytest.fixture
def said(capsys):
    """What the next step says after the rows given."""

    def after(*rows):
        progress = RunProgress("full, digits", CONFIG)
        with progress.shown():
            for row in rows:
                progress.on_window(row)
            progress.advance()
        return capsys.readouterr().err.splitlines()[-1].split(" s, ", 1)[-1]

    return after


def test_a_window_gives_loss_examples_per_second_and_the_share_that_waited(said):
    assert said(ROW) == "loss 0.4124, 16000 examples/s, 3% waiting for input"


def test_a_validation_is_shown_beside_the_last_window(said):
    validation = {"step": 10, "phase": 0, "validation_loss": 0.5, "validation_accuracy": None}
    facts = "loss 0.4124, 16000 examples/s, 3% waiting for input, validation_loss 0.5, validation_accuracy none"
    assert said(ROW, validation) == facts
    assert said(ROW, validation, ROW) == facts


@pytest.mark.parametrize(
    ("row", "line"),
    [
        ({"loss": None, "timing": None}, "loss none"),
        ({"loss": float("nan")}, "loss nan"),
        ({"loss": 1.0, "timing": {"step_s": 0.0, "input_wait_share": 0.0}}, "loss 1, 0% waiting for input"),
        ({"loss": 1.0, "timing": {"step_s": 60.0}}, "loss 1, 0.53 examples/s"),
    ],
)
def test_a_row_that_lacks_a_figure_is_shown_without_it(said, row, line):
    assert said({"step": 10, **row}) == line


def test_the_count_is_of_steps(capsys):
    progress = RunProgress("full, digits", CONFIG)
    with progress.shown():
        progress.begin(30)
        progress.advance(10)
    assert capsys.readouterr().err.startswith("full, digits: step 40/40 after 0 s")


@pytest.mark.parametrize(("seconds", "lines"), [(0.0, 3), (1000.0, 1)])
def test_a_log_gets_a_line_as_often_as_the_config_says(capsys, seconds, lines):
    progress = RunProgress("full, digits", {**CONFIG, "log": {"seconds": seconds}})
    with progress.shown():
        for _ in range(3):
            progress.advance()
    assert len(capsys.readouterr().err.splitlines()) == lines
