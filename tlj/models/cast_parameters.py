"""Which parameters a computation rounds to its compute type before it does anything else with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import traverse_util
from jax.extend import core

# They only move values, so that rounding before them is rounding after them; what they move is their first operand.
_MOVING = frozenset(
    {"broadcast_in_dim", "copy", "dynamic_slice", "gather", "reshape", "rev", "slice", "squeeze", "transpose"}
)
# Calls whose operands and results are those of the program they hold, in order.
_CALLS = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "checkpoint": "jaxpr",
    "remat2": "jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
}

_Found = dict[core.Var, frozenset[str]]


def cast_parameters(
    function: Callable[..., Any], params: Mapping[str, Any], *others: Any, dtype: jnp.dtype
) -> frozenset[str]:
    """Returns the paths of the float32 parameters that a function converts to a type before any arithmetic.

    Where they are held in that type to begin with, the function computes the same. This is read off the traced program
    and no list of names: each use is followed through what only moves values, up to a conversion. Any other use, also
    one that is not known, leaves a parameter out. What is used nowhere is in.

    Args:
      function: of the parameters and what else it takes; it is traced.
      params: nested, arrays or shapes.
      *others: the rest of its arguments, as arrays or shapes.
      dtype: that it computes in.
    """
    traced = jax.make_jaxpr(function)(params, *others).jaxpr
    flat = traverse_util.flatten_dict(dict(params), sep="/")
    # The leaves of a tree come in the order of the tree, not of its flat paths.
    paths = ["/".join(entry.key for entry in path) for path, _ in jax.tree_util.tree_leaves_with_path(dict(params))]
    begin = {var: frozenset({path}) for var, path in zip(traced.invars, paths, strict=False)}
    used_otherwise: set[str] = set()
    for of_result in _follow(traced, begin, jnp.dtype(dtype), used_otherwise):
        used_otherwise |= of_result
    return frozenset(path for path in paths if path not in used_otherwise and flat[path].dtype == jnp.float32)


def _follow(jaxpr: core.Jaxpr, found: _Found, dtype: jnp.dtype, used_otherwise: set[str]) -> list[frozenset[str]]:
    """Follows parameters through a program; returns which of them each of its results is, moved but not rounded."""
    found = dict(found)
    for eqn in jaxpr.eqns:
        held = [found.get(var, frozenset()) if isinstance(var, core.Var) else frozenset() for var in eqn.invars]
        if not any(held):
            continue
        name = eqn.primitive.name
        if name == "convert_element_type" and eqn.params["new_dtype"] == dtype:
            continue
        inner = eqn.params.get(_CALLS.get(name, ""))
        inner = getattr(inner, "jaxpr", inner)
        if name in _MOVING and not any(held[1:]):
            found[eqn.outvars[0]] = held[0]
        elif inner is not None and len(inner.invars) == len(held) and len(inner.outvars) == len(eqn.outvars):
            results = _follow(inner, dict(zip(inner.invars, held, strict=True)), dtype, used_otherwise)
            found.update(zip(eqn.outvars, results, strict=True))
        else:
            used_otherwise |= frozenset().union(*held)
    return [found.get(var, frozenset()) if isinstance(var, core.Var) else frozenset() for var in jaxpr.outvars]
