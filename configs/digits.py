"""Handwritten digits: pretrain on 0-4, then transfer to 5-9 or train from scratch.

    tlj compare --config=configs/digits.py --workdir=runs/digits            # a small ViT
    tlj compare --config=configs/digits.py:resnet --workdir=runs/digits-resnet

150 runs in two to three minutes on two CPU cores, under 1 GB. Test accuracy in %, mean of 5 seeds [95 % t interval],
at 25, 100 and all 538 labels (2026-11-21, JAX 0.10.2, two CPU threads):

    ViT      scratch        49.5 [45.3, 53.7]   67.9 [61.0, 74.7]   87.7 [83.5, 91.9]
             linear_probe   48.3 [42.0, 54.5]   61.8 [58.7, 64.9]   67.2 [66.4, 68.0]
             full           56.6 [51.6, 61.6]   75.9 [74.6, 77.2]   89.2 [88.3, 90.1]
             full@mean_var  55.2 [51.4, 59.0]   81.1 [77.7, 84.4]   94.0 [92.2, 95.7]
    ResNet   scratch        79.1 [70.3, 87.8]   93.9 [92.2, 95.7]   97.6 [97.3, 97.9]
             full           82.8 [76.6, 89.1]   94.5 [91.7, 97.3]   97.8 [97.7, 98.0]
"""

from ml_collections import ConfigDict

from tlj import config as configuration
from tlj.errors import unknown_name

MODELS = {
    "vit": dict(patch_size=2, width=48, depth=3, heads=3, activation="gelu_tanh"),
    "resnet": dict(stem="cifar", stem_width=16, block="basic", stage_depths=(1, 1, 1), stage_widths=(16, 32, 64)),
}


def get_config(model: str | None = None) -> ConfigDict:
    """Returns the comparison on digits.

    Args:
      model: ``vit`` (the default) or ``resnet``.
    """
    model = model or "vit"
    if model not in MODELS:
        raise unknown_name("model", model, MODELS)
    config = configuration.default()
    config.model.family = model
    config.model.source = "source"
    config.model.settings = MODELS[model]
    config.data.source = "digits:5-9"
    # A seed of its own: with seed 0 it would start from the very weights of the first scratch twin.
    config.pretrain = dict(
        seed=100, steps=600, data=dict(source="digits:0-4", test_fraction=0.1, validation_fraction=0.1)
    )
    config.declared = {"linear_probe": dict(optimizer=dict(learning_rate=3e-2))}
    config.arms = ("scratch", "linear_probe", "last_blocks:1", "full", "full@mean_var")
    config.label_budgets = (10, 25, 50, 100, 200, "all")
    config.seeds = (0, 1, 2, 3, 4)
    config.margin = 0.01
    config.steps = 160
    config.global_batch_size = 32
    config.optimizer.learning_rate = 4e-3
    config.optimizer.warmup = "20 steps"
    config.log.every = 40
    config.evaluate.every = 40
    config.evaluate.batch_size = 64
    config.experiments.workers = 2
    return config
