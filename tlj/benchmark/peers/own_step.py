"""One training step of tlj on noise, timed as a peer times its own: every step is waited for, and the median counts.

``python -m tlj.benchmark.peers.own_step --config=FILE:MODEL --train=all --batch=8`` prints one JSON line.
"""

from __future__ import annotations

import json
import pathlib
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from tlj import config as configuration
from tlj.benchmark.command import command, exit_code
from tlj.benchmark.facts import measured_on
from tlj.benchmark.peaks import flops_utilisation
from tlj.benchmark.peers.same_work import own_overrides
from tlj.benchmark.plan import weightless
from tlj.compile_cache import keep_compiled
from tlj.training.compiled import initial_state, run_keys, step_program
from tlj.training.initial import run_variables
from tlj.training.programs import Programs
from tlj.training.run_files import write_json
from tlj.training.setup import Setup, set_up

# The ids that a peer draws.
_FIRST_ID, _END_ID = 1000, 30000


def the_batch(setup: Setup) -> dict[str, np.ndarray]:
    """Returns a batch as a peer makes it: images of noise, or rows of random tokens without padding.

    Args:
      setup: of the run.
    """
    batch = dict(setup.usual_batch)
    if "input_ids" in batch:
        random, shape = np.random.default_rng(0), batch["input_ids"].shape
        batch["input_ids"] = random.integers(_FIRST_ID, min(_END_ID, setup.spec.vocabulary), shape).astype(np.int32)
        batch["attention_mask"] = np.ones(shape, np.int32)
    return batch


def time_steps(setup: Setup, steps: int) -> dict[str, Any]:
    """Times steps of a run's first phase one by one, after two that do not count.

    Args:
      setup: of the run.
      steps: that count.

    Returns:
      ``first_step_s`` (compilation included, or the reading of what is kept), ``median_s``, ``min_s``, ``max_s``,
      ``flops`` (of a step) and ``mfu``.
    """
    programs, batch = Programs(), the_batch(setup)
    phase, spec, seed = setup.phases[0], setup.spec, setup.config["seed"]
    variables, _ = run_variables("scratch", spec, None, seed, adapters=setup.settings.adapters)
    state = initial_state(setup, phase, variables, programs)
    del variables
    on_devices, rng = setup.wrapper.put(batch, 1), run_keys(seed, setup.config["prng"])
    taken: list[float] = []
    begin = time.perf_counter()
    program, _ = step_program(setup, phase, programs, batch)
    for _ in range(steps + 2):
        state, _ = program.call(state, on_devices, rng)
        jax.block_until_ready(state)
        end = time.perf_counter()
        taken.append(end - begin)
        begin = end
    counted = taken[2:]
    median, kind = statistics.median(counted), jax.devices()[0].device_kind
    return {
        "first_step_s": taken[0],
        "median_s": median,
        "min_s": min(counted),
        "max_s": max(counted),
        "flops": program.flops,
        "mfu": flops_utilisation(program.flops, median, setup.mesh.size, kind),
    }


def measure(config: str, what: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Returns the times of a step, the device and the versions.

    Args:
      config: the file, and behind a colon the model.
      what: ``train``, ``batch``, ``dtype`` and ``steps``.
      overrides: of the configuration, ``a.b=value``.

    Raises:
      InputError: for anything in them that cannot be done.
    """
    plain = own_overrides(config.rpartition(":")[2], what["train"], what["batch"], what["dtype"])
    resolved, base = weightless(configuration.load(config, [*plain, *overrides]))
    setup = set_up(resolved, base, needs_source=False)
    return {**time_steps(setup, what["steps"]), **measured_on()}


def main(argv: Sequence[str]) -> None:
    """Reads the words and prints the times."""
    words = command("tlj.benchmark.peers.own_step", __doc__)
    words.add_argument("--config", required=True)
    words.add_argument("--train", default="all")
    words.add_argument("--batch", type=int, default=8)
    words.add_argument("--dtype", default="float32")
    words.add_argument("--steps", type=int, default=7)
    words.add_argument("--json", metavar="FILE", type=pathlib.Path, help="also write it to FILE")
    arguments, overrides = words.take(argv)
    # Every round is a process of its own, and none should wait for the compiler again.
    keep_compiled()
    measured = measure(arguments.config, vars(arguments), overrides)
    print(json.dumps(measured), flush=True)
    if arguments.json is not None:
        write_json(arguments.json, measured)


if __name__ == "__main__":
    raise SystemExit(exit_code(main))
