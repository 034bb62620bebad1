"""From a folder to a checkpoint."""

import json
import shutil

import pytest

from tlj.errors import InputError
from tlj.pretrained.find_checkpoint import best_step, checkpoint_steps, find_checkpoint
from tlj.pretrained.inventory import MARK


@pytest.fixture(scope="module")
def validated(train_source, tmp_path_factory):
    """A run with checkpoints of steps 1, 2 and 3, each validated."""
    often = {"checkpoint": {"every": 1, "latest": 3}, "evaluate": {"every": 1}}
    return train_source(tmp_path_factory.mktemp("validated") / "run", "vit", **often)


@pytest.fixture
def retold(validated, retell, tmp_path):
    """A copy of the run whose checkpoints say that they measured other figures, and who was best."""

    def make(figures, *, best=(), metric="validation_loss"):
        run = shutil.copytree(validated, tmp_path / "run")
        for step, figure in enumerate(figures, start=1):
            told = {"about__config__checkpoint__metric": metric, "record__best": best}
            retell(run / "checkpoints" / str(step), **told, metrics={} if figure is None else {metric: figure})
        return run

    return make


def test_only_names_that_are_steps_are_checkpoints(tmp_path):
    for name in ("20", "100", "7.orbax-checkpoint-tmp", "120.damaged", "120.damaged2", "notes", "007", "٣", "-1"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
    (tmp_path / "checkpoints" / "5").write_text("a file")
    assert checkpoint_steps(tmp_path) == [20, 100]
    assert checkpoint_steps(tmp_path / "nowhere") == []


@pytest.mark.parametrize(("step", "found"), [(None, 3), ("latest", 3), (2, 2)])
def test_a_run_or_the_folder_of_its_checkpoints_gives_the_step_that_is_asked_for(validated, step, found):
    for folder in (validated, validated / "checkpoints"):
        stored = find_checkpoint(folder, step)
        assert (stored.step, stored.folder) == (found, validated / "checkpoints" / str(found))
        assert stored.run == validated
        assert stored.others == tuple(other for other in (1, 2, 3) if other != found)


def test_a_checkpoint_in_its_run_is_one_by_itself(validated):
    stored = find_checkpoint(validated / "checkpoints" / "2")
    assert (stored.step, stored.run, stored.others) == (2, validated, (1, 3))
    with pytest.raises(InputError, match="step 1 of the checkpoint of step 2; leave the step out, or name the run"):
        find_checkpoint(validated / "checkpoints" / "2", 1)


def test_a_copy_under_any_name_tells_its_step_by_what_it_holds(validated, tmp_path):
    copy = shutil.copytree(validated / "checkpoints" / "2", tmp_path / "keep me")
    stored = find_checkpoint(copy)
    assert (stored.step, stored.run, stored.others) == (2, copy, ())
    assert find_checkpoint(copy, 2).step == 2
    with pytest.raises(InputError, match="step 'best' of the checkpoint of step 2"):
        find_checkpoint(copy, "best")


def test_a_copy_of_the_folder_of_checkpoints_may_have_any_name(validated, tmp_path):
    copy = shutil.copytree(validated / "checkpoints", tmp_path / "kept")
    assert find_checkpoint(copy).step == 3
    assert find_checkpoint(copy, 1).run == copy


def test_a_folder_of_label_budgets_holds_no_checkpoints(tmp_path):
    (tmp_path / "full" / "10" / "0").mkdir(parents=True)
    with pytest.raises(
        InputError, match="full: no checkpoint here; give a run of tlj that has been trained, its folder"
    ):
        find_checkpoint(tmp_path / "full")


@pytest.mark.parametrize("step", [4, 0, "2", -1, "first"])
def test_a_step_that_is_not_there_is_refused_with_those_that_are(validated, step):
    with pytest.raises(InputError, match=f"run: no checkpoint of step {step}; .*use one of 1, 2, 3$"):
        find_checkpoint(validated, step)


def test_the_best_is_the_one_that_the_run_itself_validated_best(validated, tmp_path):
    rows = [json.loads(line) for line in (validated / "metrics.jsonl").read_text().splitlines()]
    found = {row["step"]: row["validation_loss"] for row in rows if "validation_loss" in row}
    assert set(found) == {1, 2, 3}
    assert best_step(validated) == min(found, key=found.get)
    copy = shutil.copytree(validated / "checkpoints", tmp_path / "kept")
    assert find_checkpoint(copy, "best").step == best_step(validated)


@pytest.mark.parametrize(
    ("figures", "metric", "step"),
    [
        ((0.5, 0.2, 0.3), "validation_loss", 2),
        ((0.2, 0.2, 0.2), "validation_loss", 1),
        ((None, float("nan"), 0.9), "validation_loss", 3),
        ((0.5, 0.2, 0.3), "validation_accuracy", 1),
        ((0.5, 0.7, 0.7), "validation_accuracy", 2),
        ((0.5, 0.2, 0.3), "validation_rmse", 2),
    ],
)
def test_without_a_list_of_the_best_the_figures_of_those_kept_decide(retold, figures, metric, step):
    run = retold(figures, metric=metric)
    assert best_step(run) == find_checkpoint(run, "best").step == step


@pytest.mark.parametrize(("best", "step"), [([[3, 0.1]], 3), ([[9, 0.1], [1, 0.2], [2, 0.3]], 1), ([[9, 0.1]], 2)])
def test_the_list_of_the_best_in_the_latest_goes_before_figures_as_far_as_it_is_kept(retold, best, step):
    assert best_step(retold((0.5, 0.2, 0.3), best=best)) == step


def test_where_no_kept_checkpoint_was_validated_none_is_the_best(retold):
    with pytest.raises(
        InputError, match="no checkpoint here has a validation_loss, so none is the best; use the latest"
    ):
        best_step(retold((None, None, None)))


def test_the_best_cannot_be_told_past_one_that_cannot_be_read(retold):
    run = retold((0.5, 0.2, 0.3))
    (run / "checkpoints" / "2" / MARK).unlink()
    with pytest.raises(InputError, match="the checkpoint of step 2 cannot be read: .*--step=1"):
        best_step(run)
