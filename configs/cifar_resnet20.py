"""A CIFAR-10 ResNet-20 to ants and bees at 32 pixels: does a backbone of small pictures help on others?

    tlj compare --config=configs/cifar_resnet20.py --workdir=runs/ants --config.model.source=resnet20-cifar10 \
      --config.data.source=folder:hymenoptera --config.screening.data=parquet:cifar10-jpeg

60 trials, 117 runs with those of the further look, and 90 at equal FLOPs and equal seconds. What came of them is in
BUILD_NOTES.md; ``studies/cifar_resnet20.tar.xz`` holds the small files of all, made from ``../shared`` beside the
project: unpacked, ``tlj report`` and ``tlj advise`` answer from them, and the command has nothing left to do.

    mkdir -p runs && tar -xJf configs/studies/cifar_resnet20.tar.xz -C runs
"""

from ml_collections import ConfigDict

from tlj import config as configuration


def get_config(arg: str | None = None) -> ConfigDict:
    """Returns the comparison; it needs ``config.model.source`` and ``config.data.source``."""
    config = configuration.default()
    config.model.family = "resnet"
    config.data.train, config.data.test = "train", "val"
    config.data.augment.flip = True
    config.data.augment.crop = 0.5
    config.arms = (
        "scratch",
        "linear_probe",
        "full",
        # Two hybrids of the practitioners: thaw when the loss is flat, and a new head of several layers.
        "thaw=gradual:plateau",
        "deep_head=full",
    )
    config.label_budgets = (20, 60, "all")
    config.tuning.trials = 4
    config.tuning.space = {"optimizer": {"learning_rate": "1e-4 to 3e-2"}}
    # A head alone takes a higher rate, and so does what starts from nothing.
    config.declared = {
        "scratch": dict(tuning=dict(space=dict(optimizer=dict(learning_rate="3e-4 to 1e-1")))),
        "linear_probe": dict(tuning=dict(space=dict(optimizer=dict(learning_rate="1e-3 to 3e-1")))),
        "deep_head": dict(model=dict(settings=dict(head_layers=(64,)))),
    }
    config.seeds = (0, 1, 2, 3, 4)
    config.most_seeds = 8
    config.parities = ("steps", "flops", "seconds", "best")
    config.margin = 0.02
    config.steps = 120
    config.global_batch_size = 32
    config.optimizer.warmup = "10 steps"
    config.evaluate.every = 5
    config.plateau.patience = 1
    config.log.every = 50
    config.checkpoint.latest = 1
    config.experiments.workers = 2
    return config
