import dataclasses

import pytest


@pytest.fixture(scope="session")
def probe(tiny_run):
    """A probe of a backbone that its seed draws: ``probe(seed=4)``; its activations are its own."""

    def make(seed=0, strategy="linear_probe", activations="float32", **changes):
        changes = {"cache": {"activations": activations}, "data": {"augment": {"shift": 0}}} | changes
        changes = {"steps": 3, "evaluate": {"batch_size": 16}} | changes
        setup = tiny_run(strategy=strategy, init="scratch", **changes)
        return dataclasses.replace(setup, config={**setup.config, "seed": seed})

    return make
