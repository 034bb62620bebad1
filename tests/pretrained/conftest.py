"""Real run directories, trained for three steps, one of each family."""

import pathlib

import pytest

from tlj import config as configuration
from tlj.config import run_config
from tlj.training.loop import Surroundings, train_run
from tlj.training.programs import Programs
from tlj.training.setup import set_up

SETTINGS = {
    "vit": dict(patch_size=4, width=16, depth=2, heads=2),
    "resnet": dict(stem="cifar", stem_width=8, block="basic", stage_depths=(1, 1), stage_widths=(8, 16)),
}
PROGRAMS = Programs()


def tiny_config(family: str, **values) -> dict:
    """The resolved config of a run of three steps on 40 labels."""
    config = configuration.default()
    config.model.family = family
    config.model.settings = SETTINGS[family]
    config.data.source = "digits:0-4"
    config.data.test_fraction = 0.9
    config.steps = 3
    config.global_batch_size = 8
    config.optimizer.warmup = "0 steps"
    config.evaluate.batch_size = 64
    changes = {"strategy": "scratch", "init": "scratch", "label_budget": 40, **values}
    return run_config(configuration.merge(config, changes))


def train(config: dict, directory: pathlib.Path) -> pathlib.Path:
    """Trains a run into a directory."""
    setup = set_up(config, directory.parent)
    train_run(setup, directory, configuration.digest(config), Surroundings(PROGRAMS))
    return directory


@pytest.fixture(scope="session")
def vit_run(tmp_path_factory):
    """The directory of a finished run of a ViT on digits 0-4, seed 0."""
    return train(tiny_config("vit"), tmp_path_factory.mktemp("vit") / "source")


@pytest.fixture(scope="session")
def other_vit_run(tmp_path_factory):
    """The same with seed 1."""
    return train(tiny_config("vit", seed=1), tmp_path_factory.mktemp("other") / "source")


@pytest.fixture(scope="session")
def resnet_run(tmp_path_factory):
    """The directory of a finished run of a ResNet on digits 0-4."""
    return train(tiny_config("resnet"), tmp_path_factory.mktemp("resnet") / "source")


@pytest.fixture(scope="session", params=["vit", "resnet"])
def run_directory(request):
    """A finished run of each family."""
    return request.getfixturevalue(f"{request.param}_run")


@pytest.fixture(scope="session")
def train_source():
    """Trains a run on digits 0-4 from scratch: ``train_source(directory, family, **values)``."""
    return lambda directory, family, **values: train(tiny_config(family, **values), directory)


def target_config(source: pathlib.Path, family: str, **values) -> dict:
    config = tiny_config(family, **values)
    config["data"]["source"], config["model"]["source"] = "digits:5-9", str(source)
    return config


@pytest.fixture(scope="session")
def target_setup():
    """Sets up a run on digits 5-9: ``target_setup(source, family, **values)``."""
    return lambda source, family, **values: set_up(target_config(source, family, **values), pathlib.Path())


@pytest.fixture(scope="session")
def train_target():
    """Trains a run on digits 5-9: ``train_target(source, directory, family, **values)``."""
    return lambda source, directory, family, **values: train(target_config(source, family, **values), directory)
