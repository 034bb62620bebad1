"""SST-2 with the pretrained MiniLM (6 layers, width 384) against its scratch twin.

    tlj compare --config=configs/sst2_minilm.py --workdir=runs/sst2 --config.model.source=all-MiniLM-L6-v2 \
      --config.data.source=tsv:sst2
"""

from ml_collections import ConfigDict

from tlj import config as configuration


def get_config(arg: str | None = None) -> ConfigDict:
    """Returns the comparison; it needs ``config.model.source`` and ``config.data.source``."""
    config = configuration.default()
    config.model.family = "bert"
    config.model.settings = dict(pool="mean")
    # The checkpoint's pooler is not used: its sentences are means over tokens.
    config.model.allow_missing = ("pooler.*",)
    config.data.test = "dev"
    config.data.text.length = 64
    config.data.text.buckets = 4
    config.arms = ("scratch", "linear_probe", "lp_ft:60", "gradual:30+discriminative:ulmfit", "discriminative:electra", "full")
    config.label_budgets = (50, 200, 1000, 4000)
    config.seeds = (0, 1, 2)
    config.steps = 240
    config.global_batch_size = 16
    config.optimizer.learning_rate = 1e-4
    config.optimizer.weight_decay = 0.01
    config.optimizer.warmup = "24 steps"
    config.declared = {"linear_probe": dict(optimizer=dict(learning_rate=1e-2)), "lp_ft:60": {}}
    config.log.every = 40
    config.evaluate.every = 60
    return config
