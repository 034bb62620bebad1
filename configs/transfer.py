"""Your own data and a checkpoint of your own: is it worth transferring, and how much of it should train?

    tlj compare --config=configs/transfer.py:vit --workdir=runs/mine --config.model.source=DIR_OR_HUB_ID \
      --config.data.source=folder:photographs --config.data.test=val
    tlj train --config=configs/transfer.py:bert --workdir=runs/sst2 --config.model.source=all-MiniLM-L6-v2 \
      --config.model.settings.pool=mean --config.model.allow_missing='pooler.*' --config.data.source=tsv:sst2 \
      --config.data.test=dev --config.strategy=linear_probe --config.optimizer.learning_rate=3e-3 \
      --config.label_budget=200

The second is one run of two minutes on two busy CPU cores: 71.6 % of SST-2's 872 dev sentences from 200 labels
(2026-11-21, JAX 0.10.2). All of MiniLM trains there at seconds a step: a comparison of that size takes an accelerator.
"""

from ml_collections import ConfigDict

from tlj import config as configuration
from tlj.errors import unknown_name

FAMILIES = ("vit", "resnet", "bert")


def get_config(family: str | None = None) -> ConfigDict:
    """Returns a comparison that needs ``config.model.source`` and ``config.data.source``.

    Args:
      family: of the checkpoint: ``vit`` (the default), ``resnet`` or ``bert``.
    """
    family = family or "vit"
    if family not in FAMILIES:
        raise unknown_name("family", family, FAMILIES)
    config = configuration.default()
    config.model.family = family
    # A probe has few parameters and takes a higher rate.
    config.declared = {"linear_probe": dict(optimizer=dict(learning_rate=3e-3))}
    config.arms = ("scratch", "linear_probe", "full", "full@mean_var")
    config.label_budgets = (50, 200, "all")
    config.steps = 200
    config.optimizer.learning_rate = 2e-5 if family == "bert" else 1e-4
    config.optimizer.warmup = "20 steps"
    if family != "bert":
        config.data.augment.flip = True
        config.data.augment.crop = 0.25
    return config
