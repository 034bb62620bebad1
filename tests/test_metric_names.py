import pytest

from tlj.errors import InputError
from tlj.metric_names import check_metric, judged_metric, judged_names, lower_is_better, main_metric, metric_names


def test_the_loss_comes_first_and_then_what_a_run_is_told_by():
    assert metric_names("multiclass") == ("validation_loss", "validation_accuracy")
    assert metric_names("regression", part="")[:2] == ("loss", "rmse")
    assert main_metric("multilabel", part="test") == "test_mean_average_precision"


@pytest.mark.parametrize(
    ("name", "lower"),
    [
        ("validation_loss", True),
        ("loss", True),
        ("test_rmse", True),
        ("mae", True),
        ("validation_r2", False),
        ("validation_accuracy", False),
        ("mean_average_precision", False),
        ("train_loss", True),
    ],
)
def test_errors_are_better_lower_and_scores_higher(name, lower):
    assert lower_is_better(name) == lower


def test_a_metric_of_another_task_is_refused_with_those_that_there_are():
    check_metric("validation_auroc", "binary", "config.checkpoint.metric")
    check_metric("", "binary", "config.early_stopping.metric", besides=("",))
    with pytest.raises(InputError, match="config.checkpoint.metric: unknown metric 'validation_auroc'.*validation_acc"):
        check_metric("validation_auroc", "multiclass", "config.checkpoint.metric")


def test_a_comparison_is_judged_by_the_metric_of_its_task_unless_another_is_named():
    assert [judged_metric("", task) for task in ("multiclass", "binary", "multilabel", "regression")] == [
        "accuracy",
        "accuracy",
        "mean_average_precision",
        "rmse",
    ]
    assert judged_metric("nll", "multiclass") == "nll"
    assert judged_metric("spearman", "regression") == "spearman"
    assert {"auroc", "brier", "macro_f1", "rmse"} <= set(judged_names())


@pytest.mark.parametrize(("name", "task", "nearest"), [("auroc_", "multiclass", "auroc"), ("r_2", "regression", "r2")])
def test_a_metric_that_a_comparison_cannot_be_judged_by_is_refused_with_the_nearest(name, task, nearest):
    with pytest.raises(InputError, match=f"config.metric: unknown metric '{name}'; did you mean '{nearest}'"):
        judged_metric(name, task)


@pytest.mark.parametrize(("name", "lower"), [("nll", True), ("brier", True), ("auroc", False), ("macro_f1", False)])
def test_losses_that_a_comparison_is_judged_by_are_better_lower(name, lower):
    assert lower_is_better(name) == lower
