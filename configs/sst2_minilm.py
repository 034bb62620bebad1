"""SST-2 with the pretrained MiniLM (6 layers, width 384) against its scratch twin.

    tlj compare --config=configs/sst2_minilm.py --workdir=runs/sst2 --config.model.source=all-MiniLM-L6-v2 \
      --config.data.source=tsv:sst2

78 runs, which may be left at any time. What came of them is in BUILD_NOTES.md; ``studies/sst2_minilm.tar.xz`` holds the
small files of all, made from ``../shared`` beside the project: unpacked, ``tlj report`` and ``tlj advise`` answer from
them, and the command has nothing left to do.

    mkdir -p runs && tar -xJf configs/studies/sst2_minilm.tar.xz -C runs

Every run has 300 steps of 16 sentences, so with 16,000 labels none sees all of its labels once: what is compared is a
fixed amount of training, and scratch has not converged in it.
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
    config.arms = (
        "scratch",
        "linear_probe",
        "lp_ft=lp_ft:60",
        "gradual=gradual:30",
        "discriminative=discriminative:electra",
        "full",
    )
    # Where many labels cost many steps, the probe has nothing more to learn: 16,000 are for the two ends.
    config.label_budgets = (50, 200, 1000, 4000)
    config.declared = {
        # From scratch and with a frozen backbone rates are higher, as published recipes have it.
        "scratch": dict(optimizer=dict(learning_rate=5e-4), label_budgets=(50, 200, 1000, 4000, 16000)),
        "linear_probe": dict(optimizer=dict(learning_rate=1e-2)),
        "full": dict(label_budgets=(50, 200, 1000, 4000, 16000)),
    }
    config.seeds = (0, 1, 2)
    config.margin = 0.01
    config.steps = 300
    config.global_batch_size = 16
    config.optimizer.learning_rate = 1e-4
    config.optimizer.weight_decay = 0.01
    config.optimizer.warmup = "30 steps"
    config.log.every = 50
    config.evaluate.every = 100
    config.checkpoint.latest = 1
    return config
