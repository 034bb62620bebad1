import pytest

from tlj.errors import InputError
from tlj.metric_names import check_metric, lower_is_better, main_metric, metric_names


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
