import pathlib

import pytest

from tlj import config as configuration
from tlj.training.setup import set_up


@pytest.fixture(scope="session")
def tiny_run(tiny_config):
    """Builds the setup of one tiny run on digits, from scratch unless told otherwise: ``tiny_run(steps=5)``."""

    def make(**changes):
        config = configuration.merge(tiny_config("unused"), {"strategy": "scratch", "label_budget": 40})
        config = configuration.merge(config, changes)
        config.model.source = ""
        return set_up(configuration.run_config(config), pathlib.Path())

    return make
