"""How long a checkpoint keeps the training loop waiting, and how long it takes to be on disk."""

from __future__ import annotations

import pathlib
import shutil
import statistics
import tempfile
import time
from typing import Any

import jax
import jax.numpy as jnp
import optax

from tlj.freezing.phases import Phase
from tlj.training.checkpoints import Checkpoints
from tlj.training.phase_record import PhaseRecord
from tlj.training.provenance import Provenance
from tlj.training.retention import Retention
from tlj.training.run_record import RunRecord
from tlj.training.state import TrainState

_WIDTH = 1024


def measure_checkpoint(directory: pathlib.Path, parameters: int = 100_000_000, repeats: int = 3) -> dict[str, Any]:
    """Writes checkpoints of a state with both moments of Adam, as a run in the background does; medians over repeats.

    Args:
      directory: on the disk to be measured; what is written there is removed again.
      parameters: in number, float32.
      repeats: timed checkpoints, after one that is not.

    Returns:
      ``parameters``, ``bytes`` (of all arrays), ``blocked_s`` (until the loop goes on), ``write_s`` (from the same
      moment until all is on disk) and ``blocked_share``, their ratio.
    """
    state = _state(parameters)
    phase = Phase((), ())
    blocked, written = [], []
    folder = pathlib.Path(tempfile.mkdtemp(prefix="checkpoint-time-", dir=directory))
    try:
        with Checkpoints(folder / "checkpoints", Retention(1), Provenance("", "", "", [phase])) as checkpoints:
            for step in range(repeats + 1):
                state = jax.block_until_ready(state.replace(step=jnp.int32(step)))
                begin = time.perf_counter()
                checkpoints.save(state, RunRecord(PhaseRecord({})))
                blocked.append(time.perf_counter() - begin)
                checkpoints.wait()
                written.append(time.perf_counter() - begin)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    blocked_s, write_s = statistics.median(blocked[1:]), statistics.median(written[1:])
    return {
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(state.params)),
        "bytes": sum(leaf.nbytes for leaf in jax.tree.leaves(state)),
        "blocked_s": blocked_s,
        "write_s": write_s,
        "blocked_share": blocked_s / write_s,
    }


def _state(parameters: int) -> TrainState:
    """A state of that many parameters, in matrices like those of a transformer; random, as zeros would compress."""

    def make() -> TrainState:
        blocks = max(1, round(parameters / (4 * _WIDTH * _WIDTH)))
        keys = jax.random.split(jax.random.key(0), blocks)
        rows = max(1, parameters // (blocks * _WIDTH))
        params = {f"block{index}": {"kernel": jax.random.normal(key, (rows, _WIDTH))} for index, key in enumerate(keys)}
        moments = optax.ScaleByAdamState(
            count=jnp.int32(0),
            mu=jax.tree.map(lambda leaf: leaf * 0.1, params),
            nu=jax.tree.map(jnp.square, params),
        )
        return TrainState(
            step=jnp.int32(0),
            params=params,
            batch_stats={},
            opt_state=(moments,),
            hyperparameters={},
            origin={},
            ema={},
            rejected=jnp.int32(0),
        )

    return jax.jit(make)()
