"""The learning-rate finder: a range test with the compiled step of a run, which leaves the run as it is."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from tlj import config as configuration
from tlj.freezing.optimizer import hyperparameters, learning_rates
from tlj.freezing.phases import Phase
from tlj.streams import generator
from tlj.training.compiled import initial_state, run_keys, step_program
from tlj.training.identity import for_devices
from tlj.training.initial import start_variables
from tlj.training.parallel import replicated
from tlj.training.programs import Programs
from tlj.training.rate_curve import RateCurve, RateRange
from tlj.training.setup import Setup, set_up

# Longer than any test: no schedule comes near its end, where a rate would be none.
_LENGTH = np.float32(2**24)


def _ignore(_: int) -> None:
    pass


def finder_seed(seed: int) -> int:
    """Returns the seed of a finder's own order of examples, augmentation and dropout.

    Args:
      seed: of the run.
    """
    return int(generator(seed, "rate_finder").integers(2**31))


def rates_as_wanted(phase: Phase, rate: float, step: int) -> dict[str, dict[str, np.float32]]:
    """Returns the hyperparameters with which a compiled step has a wanted rate, whatever the shape of its schedule.

    Args:
      phase: that the step is compiled for.
      rate: what ``config.optimizer.learning_rate`` is to mean at the step; groups keep the ratios of their own.
      step: the global step.
    """
    numbers = {
        name: {**group, "steps": _LENGTH, "warmup_steps": np.float32(0)}
        for name, group in hyperparameters(phase).items()
    }
    ones = {name: {**group, "learning_rate": np.float32(1)} for name, group in numbers.items()}
    factors = learning_rates(phase, ones, np.asarray(step))
    return {
        group.name: {
            **numbers[group.name],
            "learning_rate": np.float32(rate * group.learning_rate_factor / factors[group.name]),
        }
        for group in phase.groups
    }


def range_test(
    setup: Setup,
    rate_range: RateRange,
    programs: Programs | None = None,
    unit: float = 1.0,
    on_step: Callable[[int], None] = _ignore,
) -> RateCurve:
    """Takes steps of a run's first phase at rates that grow, from the state that the run begins with.

    Args:
      setup: of the run, which is left as it is, as are its files.
      rate_range: the rates; the test ends sooner where the loss diverges.
      programs: compiled programs to share.
      unit: what a rate of 1 means to the step.
      on_step: told after each step that it is done.

    Returns:
      The losses by rate.
    """
    phase, programs = setup.phases[0], programs or Programs()
    variables, _ = start_variables(setup)
    state = initial_state(setup, phase, variables, programs)
    del variables
    seed = finder_seed(setup.config["seed"])
    # The examples stay those of the run; what is drawn for them, and their order, are the finder's own.
    own = dataclasses.replace(setup, config={**setup.config, "seed": seed, "steps": rate_range.steps})
    keys, losses = run_keys(seed, setup.config["prng"]), []
    rates = rate_range.rates()
    for step, rate in enumerate(rates):
        numbers = jax.device_put(rates_as_wanted(phase, rate * unit, step), replicated(own.mesh))
        batch = own.batches[step]
        on_devices = own.wrapper.put(batch, 1)
        program, _ = step_program(own, phase, programs, on_devices)
        state, metrics = program.call(state.replace(hyperparameters=numbers), on_devices, keys)
        losses.append(float(metrics["loss"]))
        on_step(1)
        curve = RateCurve(rate_range, rates[: step + 1], np.array(losses))
        if curve.has_diverged:
            break
    return curve


def find_rate(config: ConfigDict, rate_range: RateRange, on_step: Callable[[int], None] = _ignore) -> dict[str, Any]:
    """Runs a range test for the run that a config describes, and writes nothing.

    Args:
      config: of the run; its workdir may hold the run itself, half finished.
      rate_range: the rates, as ``config.optimizer.learning_rate`` has them.
      on_step: told after each step that it is done.

    Returns:
      What ``RateCurve.to_json`` gives, with ``strategy``, ``groups`` (the factor on the rate of each group) and
      ``global_batch_size``.

    Raises:
      InputError: for anything in the config that cannot be done.
    """
    resolved = for_devices(configuration.run_config(config))
    base = pathlib.Path(os.path.expanduser(config.workdir) or os.curdir)
    setup = set_up(_with_source(resolved, config, base), base)
    unit = resolved["optimizer"]["learning_rate"] / config.optimizer.learning_rate
    curve = range_test(setup, rate_range, unit=unit, on_step=on_step)
    return {
        "strategy": config.strategy,
        "groups": {group.name: group.learning_rate_factor for group in setup.phases[0].groups},
        "global_batch_size": resolved["global_batch_size"],
        **curve.to_json(),
    }


def _with_source(resolved: Mapping[str, Any], config: ConfigDict, base: pathlib.Path) -> Mapping[str, Any]:
    """The config of a run, without the source that ``pretrain`` has yet to make; a run from scratch needs none."""
    source = pathlib.Path(config.model.source)
    if config.pretrain and not any((place / source).exists() for place in (base, pathlib.Path())):
        return {**resolved, "model": {**resolved["model"], "source": ""}}
    return resolved
