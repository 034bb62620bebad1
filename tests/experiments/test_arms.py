import re

import pytest

from tlj.errors import InputError
from tlj.experiments.arms import Arm, parse_arm


def test_an_arm_takes_the_default_init_of_its_strategy():
    assert parse_arm("scratch") == Arm("scratch", "scratch", "scratch")
    assert parse_arm("last_blocks:1") == Arm("last_blocks:1", "last_blocks:1", "pretrained")


def test_an_arm_takes_the_init_after_the_at_sign():
    assert parse_arm("full@mean_var") == Arm("full@mean_var", "full", "mean_var")


def test_a_probe_on_a_scratch_backbone_is_an_arm_of_random_features():
    assert parse_arm("linear_probe@scratch").init == "scratch"


def test_folders_have_no_characters_that_paths_object_to():
    names = ["full", "full@mean_var", "last_blocks:1", "last_blocks:1@scratch"]
    folders = [parse_arm(name).folder for name in names]
    assert folders == ["full", "full-from-mean_var", "last_blocks-1", "last_blocks-1-from-scratch"]
    assert not re.search(r"[:@/ ]", "".join(folders))


def test_an_arm_may_have_a_name_of_its_own():
    arm = parse_arm("long warm.up=lp_ft:60@pretrained")
    assert arm == Arm("long warm.up", "lp_ft:60", "pretrained")
    assert arm.folder == "long-warm.up"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("=full", "no name before the = of '=full'; write 'full' or 'NAME=full'"),
        ("..=full", "config.arms[3]: '..' names no folder; use letters or digits"),
        (" . =full", "config.arms[3]: '.' names no folder"),
        (
            "x" * 201 + "=full",
            "config.arms[3]: a name of 201 characters, 'xxxxxxxxxxxxxxxxxxxx' and so on, is too long",
        ),
        ("ful", "config.arms[3]: unknown strategy 'ful'; did you mean 'full'?"),
        ("full@mean-var", "did you mean 'mean_var'?"),
        ("full@", "no init after the @"),
        ("scratch@pretrained", "cannot start from init 'pretrained'"),
        ("last_blocks", "'last_blocks': last_blocks takes a whole number; write 'last_blocks:1'"),
        ("last_blocks:x", "last_blocks takes a whole number"),
        ("full:2", "full takes nothing; write 'full'"),
        ("copy_train:1@scratch", "strategy 'copy_train:1' cannot start from init 'scratch'"),
        ("full+l2_sp@scratch", "strategy 'full+l2_sp' cannot start from init 'scratch'"),
        ("scratch+l2_sp", "config.arms[3]: 'scratch+l2_sp' pulls towards a random start"),
    ],
)
def test_a_wrong_arm_is_one_clear_line(text, message):
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        parse_arm(text, where="config.arms[3]")
    assert "\n" not in str(caught.value)
