"""ViT-S/16 at 224 pixels on images of noise: what a step costs, by how much of the model trains.

    tlj bench --config=configs/vit_s16.py --strategies=linear_probe,last_blocks:1,last_blocks:4,full

A comparison on noise says nothing; this config is there to be planned and timed. Batch 8, float32, one device.
Measured: not yet.
"""

from ml_collections import ConfigDict

from tlj import config as configuration


def get_config() -> ConfigDict:
    """Returns one run of ViT-S/16 (Steiner et al. 2021, arXiv:2106.10270) that starts anew."""
    config = configuration.default()
    config.model.family = "vit"
    config.model.settings = dict(patch_size=16, width=384, depth=12, heads=6)
    config.data.source = "synthetic:224x10"
    config.init = "scratch"
    config.global_batch_size = 8
    return config
