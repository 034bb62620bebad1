"""The shapes of a usual training batch, without reading more examples than their shapes need."""

from __future__ import annotations

import dataclasses

import numpy as np

from tlj.training.parallel import host_of
from tlj.training.setup import Setup


def usual_rows(setup: Setup) -> dict[str, np.ndarray]:
    """Returns arrays of the shapes that one process reads for a usual batch.

    Where no example's shape depends on the others', one stands for all and takes no more memory than one.
    """
    if setup.training_reader.by_length:
        return setup.usual_batch
    _, hosts = host_of(setup.mesh)
    one = dataclasses.replace(setup, config={**setup.config, "global_batch_size": hosts}).usual_batch
    rows = setup.config["global_batch_size"] // hosts
    return {name: np.broadcast_to(array[:1], (rows, *array.shape[1:])) for name, array in one.items()}
