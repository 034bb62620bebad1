import pathlib

import pytest

from tlj import config as configuration
from tlj.training.setup import set_up

RESNET = dict(stem="cifar", stem_width=8, block="basic", stage_depths=(1, 1), stage_widths=(8, 16))


@pytest.fixture(scope="session")
def tiny_run(tiny_config):
    """Builds the setup of one tiny run on digits, from scratch unless told otherwise: ``tiny_run(steps=5)``.

    The model is a ViT; ``family="resnet"`` gives one with running statistics.
    """

    def make(family="vit", **changes):
        config = configuration.merge(tiny_config("unused"), {"strategy": "scratch", "label_budget": 40})
        if family == "resnet":
            config.model.family, config.model.settings = family, RESNET
        config = configuration.merge(config, changes)
        config.model.source = ""
        return set_up(configuration.run_config(config), pathlib.Path())

    return make
