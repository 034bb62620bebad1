import pytest

from tlj.errors import InputError
from tlj.experiments.twins import twin_diff

TWIN = {
    "strategy": "scratch",
    "init": "scratch",
    "seed": 0,
    "data": {"augment": {"shift": 1}},
    "optimizer": {"learning_rate": 0.003},
}
ARM = {**TWIN, "strategy": "full", "init": "pretrained"}


def test_strategy_and_init_may_differ_and_are_reported_twin_first():
    assert twin_diff(ARM, TWIN, {}, where="pair") == {
        "strategy": ["scratch", "full"],
        "init": ["scratch", "pretrained"],
    }


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"optimizer": {"learning_rate": 0.03}}, "optimizer.learning_rate (0.003 against 0.03)"),
        ({"data": {"augment": {"shift": 0}}}, "data.augment.shift (1 against 0)"),
        ({"seed": 1}, "seed (0 against 1)"),
        ({"extra": True}, "extra (None against True)"),
        (
            {"tuning": {"space": {"optimizer": {"learning_rate": "0.1 to 1 log"}}}},
            "tuning.space.optimizer.learning_rate",
        ),
        ({"model": {"preprocessing": {"mean": [0.5]}}}, "model.preprocessing.mean"),
    ],
)
def test_a_planted_confound_is_refused_and_named(change, named):
    with pytest.raises(InputError) as caught:
        twin_diff({**ARM, **change}, TWIN, {}, where="arm 'full'")
    assert named in str(caught.value)
    assert "declare the difference" in str(caught.value)


def test_a_declared_difference_is_allowed_and_no_other():
    arm = {**ARM, "optimizer": {"learning_rate": 0.03}}
    declared = {"optimizer": {"learning_rate": 0.03}}
    assert twin_diff(arm, TWIN, declared, where="pair")["optimizer.learning_rate"] == [0.003, 0.03]
    with pytest.raises(InputError, match="seed"):
        twin_diff({**arm, "seed": 4}, TWIN, declared, where="pair")


def test_all_confounds_are_listed_at_once():
    arm = {**ARM, "seed": 1, "optimizer": {"learning_rate": 0.03}}
    with pytest.raises(InputError, match=r"optimizer\.learning_rate.*seed"):
        twin_diff(arm, TWIN, {}, where="pair")
