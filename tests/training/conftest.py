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


@pytest.fixture(scope="session")
def small_state():
    """Builds the state of a run too small to need a model, at a step; its values follow from a seed."""
    import jax
    import jax.numpy as jnp
    import optax

    from tlj.training.state import TrainState

    def make(step, seed=0):
        params = {"backbone": {"kernel": jax.random.normal(jax.random.key(seed), (40, 30))}, "head": jnp.arange(7.0)}
        return TrainState(
            step=jnp.int32(step),
            params=params,
            batch_stats={},
            opt_state=(
                optax.ScaleByAdamState(jnp.int32(step), jax.tree.map(jnp.sin, params), jax.tree.map(jnp.cos, params)),
            ),
            hyperparameters={"head": {"learning_rate": jnp.float32(0.1)}},
            origin={},
            ema={},
            rejected=jnp.int32(0),
        )

    return make


@pytest.fixture
def small_checkpoints(tmp_path):
    """Opens the checkpoints of that run, below ``tmp_path`` or another run directory: ``small_checkpoints(best=2)``."""
    from tlj.freezing.phases import Phase
    from tlj.training.checkpoints import Checkpoints
    from tlj.training.provenance import Provenance
    from tlj.training.retention import Retention

    def make(run=tmp_path, latest=2, best=0, metric="validation_loss", background=True, **said):
        said = {"config": "c", "model": "m", "classes": "k", "phases": [Phase((), ())], **said}
        kept = Retention(latest, best, metric)
        return Checkpoints(run / "checkpoints", kept, Provenance(**said), background=background)

    return make
