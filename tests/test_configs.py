"""The example configs say what they claim to say."""

import pathlib
import runpy

import pytest

from tlj import config as configuration
from tlj.benchmark.plan import weightless
from tlj.experiments.arms import parse_arm
from tlj.freezing.strategies.registry import NAMES
from tlj.training.setup import set_up

CONFIGS = pathlib.Path(__file__).parent.parent / "configs"
EXAMPLES = runpy.run_path(str(CONFIGS / "strategies.py"))["STRATEGIES"]


def test_every_strategy_has_an_example():
    shown = {changes["strategy"].partition("+")[0].partition(":")[0] for changes in EXAMPLES.values()}
    assert shown == set(NAMES)
    assert "+l2_sp" in EXAMPLES["l2_sp"]["strategy"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_a_small_change_that_can_be_trained(name):
    config = configuration.load(f"{CONFIGS / 'strategies.py'}:{name}")
    base = configuration.load(str(CONFIGS / "digits.py"))
    changed = {key for key in configuration.diff(base, config) if not key.startswith("declared")}
    assert changed <= set(configuration.flatten(EXAMPLES[name]))
    resolved, place = weightless(config)
    setup = set_up(resolved, place, needs_source=False)
    assert setup.phases[0].trained


def test_the_comparison_of_all_strategies_has_each_as_an_arm():
    config = configuration.load(str(CONFIGS / "strategies.py"))
    assert config.twin == "scratch"
    assert len(config.arms) == len(EXAMPLES)
    for arm in config.arms:
        parse_arm(arm)
    assert set(config.declared) < set(config.arms)


@pytest.mark.parametrize("family", ["vit", "resnet", "bert"])
def test_a_transfer_of_each_family_lacks_nothing_but_checkpoint_and_data(family):
    config = configuration.load(f"{CONFIGS / 'transfer.py'}:{family}")
    assert (config.model.family, config.model.source) == (family, "")
    assert set(config.declared) <= set(config.arms)
    assert config.data.augment.flip == (family != "bert")
    for arm in config.arms:
        parse_arm(arm)
