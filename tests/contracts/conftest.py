"""Tiny runs of every family, each transferring from a source of its own, and what they compile, made once."""

import functools
import pathlib

import pytest

from tlj import config as configuration

MODELS = {
    "vit": {"patch_size": 4, "width": 16, "depth": 2, "heads": 2, "dropout": 0.1, "stochastic_depth": 0.1},
    "resnet": {
        "stem": "cifar",
        "stem_width": 8,
        "block": "basic",
        "stage_depths": (1, 1),
        "stage_widths": (8, 16),
    },
    "bert": {"width": 16, "depth": 2, "heads": 2, "vocabulary": 1000, "positions": 8},
}
SOURCE_TASKS = {"vit": "digits:0-4", "resnet": "digits:0-4", "bert": "synthetic_text:8x4"}
TASKS = {"vit": "digits:5-9", "resnet": "digits:5-9", "bert": "synthetic_text:8x3"}

# Everything that could move what is frozen is on: dropout, augmentation, weight decay, clipping.
TEMPTING = {
    "data": {"augment": {"shift": 1}},
    "optimizer": {"learning_rate": 0.01, "weight_decay": 0.1, "clip_norm": 0.5, "warmup": "2 steps"},
    "label_budget": 60,
    "global_batch_size": 8,
    "evaluate": {"batch_size": 64},
}


@pytest.fixture(scope="session")
def programs():
    """What has been compiled, for every test."""
    from tlj.training.programs import Programs

    return Programs()


@pytest.fixture(scope="session")
def families():
    """The settings of a tiny model of each family."""
    return MODELS


@pytest.fixture(scope="session")
def set_up_run():
    """Sets up a run from the default config and changes, the last one on top: ``set_up_run({"steps": 5})``."""
    from tlj.training.setup import set_up

    def make(*changes):
        config = functools.reduce(configuration.merge, changes, configuration.default())
        return set_up(configuration.run_config(config), pathlib.Path())

    return make


@pytest.fixture(scope="session")
def from_scratch(set_up_run):
    """Sets up a tiny run that has no source: ``from_scratch("vit", {"steps": 5})``."""

    def make(family, *changes):
        model = {"family": family, "settings": MODELS[family]}
        data = {"source": TASKS[family]} | ({"augment": {"shift": 0}} if family == "bert" else {})
        return set_up_run(TEMPTING, {"model": model, "data": data, "strategy": "scratch"}, *changes)

    return make


@pytest.fixture(scope="session")
def sources(from_scratch, programs, tmp_path_factory):
    """The run of a source of each family, trained for a few steps."""
    from tlj.training.loop import Surroundings, train_run

    directories = {}
    for family, task in SOURCE_TASKS.items():
        setup = from_scratch(family, {"data": {"source": task}, "steps": 5, "seed": 9})
        directories[family] = tmp_path_factory.mktemp(family) / "source"
        train_run(setup, directories[family], "source", Surroundings(programs))
    return directories


@pytest.fixture(scope="session")
def transfer(from_scratch, sources):
    """Sets up a tiny run that starts from its family's source: ``transfer("vit", "last_blocks:1", {"steps": 5})``."""

    def make(family, strategy, *changes):
        source = {"model": {"source": str(sources[family])}, "strategy": strategy}
        return from_scratch(family, source, *changes)

    return make
