import dataclasses

import numpy as np
import pytest

from tlj import config as configuration
from tlj.data.examples import Examples
from tlj.data.images import Augmentation
from tlj.errors import InputError
from tlj.training.task_checks import check_task

CLASSES = Examples("pets", "images", ("a", "b", "c"), np.array([0, 1, 2], np.int32), "xyz", [b""] * 3, "hash")
SETS = dataclasses.replace(CLASSES, labels=np.eye(3, dtype=np.int8))
NUMBERS = dataclasses.replace(CLASSES, labels=np.arange(3, dtype=np.float32), classes=())
TWO = dataclasses.replace(CLASSES, labels=np.array([0, 1, 0], np.int32), classes=("a", "b"))


def check(task, source, augmentation=None, **changes):
    config = configuration.merge(configuration.default(), {"task": task, **changes})
    check_task(configuration.run_config(config), source, augmentation or Augmentation())


@pytest.mark.parametrize(
    ("task", "source"), [("multiclass", CLASSES), ("binary", TWO), ("multilabel", SETS), ("regression", NUMBERS)]
)
def test_labels_of_its_own_kind_are_what_a_task_takes(task, source):
    check(task, source)
    smoothing = {} if task == "regression" else {"optimizer": {"label_smoothing": 0.1}}
    check(task, source, Augmentation(mixup=0.0 if task == "regression" else 0.5), **smoothing)


@pytest.mark.parametrize("task", ["multiclass", "binary", "multilabel", "regression"])
@pytest.mark.parametrize(("kind", "source"), [("multiclass", TWO), ("multilabel", SETS), ("regression", NUMBERS)])
def test_labels_of_another_kind_are_refused(task, kind, source):
    if kind == ("multiclass" if task == "binary" else task):
        return
    with pytest.raises(InputError, match=f"config.task: pets has labels for {kind}, not for {task}; set it to {kind}"):
        check(task, source)


def test_binary_takes_two_classes():
    with pytest.raises(InputError, match="config.task: pets has 3 classes, and binary takes two; use multiclass"):
        check("binary", CLASSES)


@pytest.mark.parametrize(("task", "source"), [("multilabel", SETS), ("regression", NUMBERS)])
def test_what_has_no_single_class_is_not_balanced(task, source):
    with pytest.raises(InputError, match="config.data.balance: "):
        check(task, source, data={"balance": "loss"})


@pytest.mark.parametrize(
    ("key", "changes", "augmentation"),
    [
        ("data.classes", {"data": {"classes": ("a", "b")}}, {}),
        ("data.min_per_class", {"data": {"min_per_class": 2}}, {}),
        ("optimizer.label_smoothing", {"optimizer": {"label_smoothing": 0.1}}, {}),
        ("data.augment.mixup", {}, {"mixup": 0.2}),
        ("data.augment.cutmix", {}, {"cutmix": 1.0}),
    ],
)
def test_numbers_take_nothing_that_is_for_classes(key, changes, augmentation):
    with pytest.raises(InputError, match=f"config.{key}: is for classes, and regression has none"):
        check("regression", NUMBERS, Augmentation(**augmentation), **changes)
