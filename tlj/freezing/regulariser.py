"""L2-SP: a penalty on the distance from the starting point, in place of weight decay (Li et al. 2018)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import traverse_util
from jaxtyping import Array, Float

from tlj.errors import InputError
from tlj.freezing.phases import Phase


@dataclasses.dataclass(frozen=True)
class L2SP:
    """Half of ``alpha`` times the squared distance of what was loaded, and half of ``beta`` times the squared new rest.

    Li, Grandvalet and Davoine 2018 (arXiv:1802.01483), equation 3.

    Attributes:
      alpha: strength towards the starting point.
      beta: strength towards zero of what did not come from the source, the head above all.
      loaded: the parameters that came from the source.
    """

    alpha: float = 0.1
    beta: float = 0.01
    loaded: tuple[str, ...] = ()


def starting_point(params: Mapping[str, Any], phase: Phase, settings: L2SP) -> dict[str, Any]:
    """Returns the parameters that train and came from the source, with None elsewhere: what L2-SP pulls towards."""
    flat = traverse_util.flatten_dict(params, sep="/")
    pulled = set(phase.trained) & set(settings.loaded)
    return traverse_util.unflatten_dict({p: leaf if p in pulled else None for p, leaf in flat.items()}, sep="/")


def penalty(settings: L2SP, trainable: Mapping[str, Any], start: Mapping[str, Any]) -> Float[Array, ""]:
    """Returns the penalty, in nats.

    Args:
      settings: its strengths.
      trainable: the parameters that train, with None at others.
      start: of ``starting_point``.
    """

    def term(leaf: Array | None, origin: Array | None) -> Array | None:
        if leaf is None:
            return None
        strength, distance = (settings.beta, leaf) if origin is None else (settings.alpha, leaf - origin)
        return 0.5 * strength * jnp.sum(jnp.square(distance))

    terms = jax.tree.map(term, trainable, start, is_leaf=lambda leaf: leaf is None)
    return jnp.asarray(sum(jax.tree.leaves(terms)), jnp.float32)


def parse_l2_sp(arguments: list[str], *, where: str) -> tuple[float, float]:
    """Returns alpha and beta from the arguments of ``l2_sp``, for example ``["0.1", "0.01"]``; both may be left out.

    Raises:
      InputError: for more than two, or what is no number of at least 0.
    """
    try:
        values = [float(text) for text in arguments]
    except ValueError:
        values = [-1.0]
    if len(values) > 2 or not all(0 <= value < float("inf") for value in values):
        raise InputError(
            f"'l2_sp:{':'.join(arguments)}' does not give alpha and beta", where=where, do="write 'l2_sp:0.1:0.01'"
        )
    defaults = L2SP()
    alpha, beta = (*values, *(defaults.alpha, defaults.beta)[len(values) :])
    return alpha, beta
