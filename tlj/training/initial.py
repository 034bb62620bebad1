"""What a run starts from: the variables of its init, and adapters that change nothing yet."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import Array, Key

from tlj.models.lora import ROOT, Adapters, init_adapters
from tlj.models.registry import Spec
from tlj.pretrained.initialise import initial_variables
from tlj.pretrained.load_report import LoadReport
from tlj.pretrained.source import PretrainedSource
from tlj.streams import key
from tlj.training.setup import Setup, variable_shapes


def run_variables(
    init: str,
    spec: Spec,
    source: PretrainedSource | None,
    seed: int,
    *,
    copied: int | None = None,
    adapters: Adapters | None = None,
) -> tuple[dict[str, Any], LoadReport]:
    """Returns the variables that a run starts from, and what became of every leaf of the model.

    Args:
      init: ``"pretrained"``, ``"scratch"`` or ``"mean_var"``.
      spec: of the model.
      source: where pretrained values come from; may be None for scratch.
      seed: of the run.
      copied: number of blocks that come from the source, the others being initialised anew; None takes all.
      adapters: to be added, or None.

    Raises:
      InputError: where the source does not fit.
    """
    variables, report = initial_variables(init, spec, source, seed, copied=copied)
    if adapters is None:
        return variables, report
    low_rank = _adapter_program(spec, adapters)(key(seed, "adapter_init"))
    return {**variables, "params": {**variables["params"], ROOT: low_rank}}, report


def start_variables(setup: Setup) -> tuple[dict[str, Any], LoadReport]:
    """Returns what a run that is set up starts from (``run_variables``)."""
    return run_variables(
        setup.init,
        setup.spec,
        setup.pretrained,
        setup.config["seed"],
        copied=setup.copied,
        adapters=setup.settings.adapters,
    )


@functools.lru_cache(maxsize=8)
def _adapter_program(spec: Spec, adapters: Adapters) -> Callable[[Key[Array, ""]], dict[str, Any]]:
    """One compiled initialisation per model and adapters."""
    shapes = variable_shapes(spec, adapters)["params"][ROOT]

    def initialise_adapters(adapter_key: Key[Array, ""]) -> dict[str, Any]:
        return init_adapters(adapter_key, shapes)

    return jax.jit(initialise_adapters)
