import pathlib

import pytest

from tlj import config as configuration
from tlj.training.setup import set_up


@pytest.fixture(scope="session")
def one_run(tiny_config):
    """Builds the setup of one tiny run without a source, whatever its init: ``one_run(strategy="lp_ft:10")``."""

    def make(**changes):
        config = tiny_config("unused", **{"label_budget": 40, **changes})
        config.model.source = ""
        return set_up(configuration.run_config(config), pathlib.Path(), needs_source=False)

    return make
