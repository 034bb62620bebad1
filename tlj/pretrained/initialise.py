"""The three inits of an arm: pretrained, scratch, and mean_var; whatever the init, the head is the same array."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import functools
import math
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import jax
import numpy as np
from flax import traverse_util
from jaxtyping import Array, Float, Key

from tlj.models.registry import Spec
from tlj.models.shapes import initialisation
from tlj.pretrained.load_plan import HEAD, plan_load
from tlj.pretrained.load_report import LoadedLeaf, LoadReport, array_hash
from tlj.pretrained.source import PretrainedSource
from tlj.streams import key

# In bytes, of an array that XLA shares with the host instead of copying it.
_ALIGNMENT = 64


# By source and path, what was read within ``reading_once``: the source, which lives as long, the array and its hash.
_read: contextvars.ContextVar[dict[tuple[int, str], tuple[PretrainedSource, Any, str]] | None] = contextvars.ContextVar(
    "read", default=None
)


@contextlib.contextmanager
def reading_once() -> Iterator[None]:
    """Reads, hashes and puts on the device each leaf of a source once for all models that are loaded inside.

    They share the arrays, which none may give away, and one set of them stays on the device meanwhile.
    """
    token = _read.set({})
    try:
        yield
    finally:
        _read.reset(token)


def is_read_once(leaf: Any) -> bool:
    """Whether an array was read within the ``reading_once`` that this is asked in, and others begin with it, too."""
    kept = _read.get()
    return kept is not None and any(leaf is array for _, array, _ in kept.values())


def scratch_variables(spec: Spec, backbone_key: Key[Array, ""], head_key: Key[Array, ""]) -> dict[str, Any]:
    """Initialises a model anew: the backbone from one stream, the head from another.

    Args:
      spec: of the model.
      backbone_key: of the ``backbone_init`` stream.
      head_key: of the ``head_init`` stream.

    Returns:
      ``{"params": ..., "batch_stats": ...}``; the statistics are empty for a family without.
    """
    initialise = initialisation(spec)
    variables, head = initialise(backbone_key), initialise(head_key)["params"].get("head")
    params = variables["params"] if head is None else {**variables["params"], "head": head}
    return {"params": params, "batch_stats": variables["batch_stats"]}


def moments(leaf: Float[np.ndarray, "..."]) -> tuple[np.float32, np.float32]:
    """Returns mean and standard deviation of a leaf, computed in float64."""
    return np.float32(np.mean(leaf, dtype=np.float64)), np.float32(np.std(leaf, dtype=np.float64))


def mean_var_params(
    params: Mapping[str, Any], leaf_moments: Mapping[str, tuple[Array, Array]], backbone_key: Key[Array, ""]
) -> dict[str, Any]:
    """Draws every leaf from a normal with the mean and standard deviation of its pretrained values.

    The control of Raghu et al. 2019 (arXiv:1902.07208, section 4): it keeps the scale of the weights and drops what
    they compute, so it tells how much of a gain is scale.

    Args:
      params: gives structure, shapes and types.
      leaf_moments: ``moments`` by path; a path that is missing keeps its leaf from ``params``.
      backbone_key: of the ``backbone_init`` stream.
    """
    flat = dict(traverse_util.flatten_dict(params, sep="/"))
    for path, (mean, std) in leaf_moments.items():
        drawn = jax.random.normal(jax.random.fold_in(backbone_key, zlib.crc32(path.encode())), flat[path].shape)
        flat[path] = (mean + std * drawn).astype(flat[path].dtype)
    return traverse_util.unflatten_dict(flat, sep="/")


def pretrained_variables(
    scratch: Mapping[str, Any], plan: LoadReport, source: PretrainedSource
) -> tuple[dict[str, Any], LoadReport]:
    """Puts a source's parameters and statistics into a model.

    Args:
      scratch: freshly initialised leaves by path; at least those that are reset.
      plan: of the load.
      source: what to load.

    Returns:
      Variables and the report, which is the plan with the hashes of what was read.

    Raises:
      InputError: for numbers that are not finite, and files that cannot be read to their end.
    """
    merged, hashes = {}, {}
    # The largest first: what is read and what is on the device are there twice only for the leaf at hand.
    for row in sorted(_of_model(plan), key=lambda row: (-math.prod(row.shape), row.path)):
        if row.status == "reset":
            merged[row.path] = scratch[row.path]
            continue
        merged[row.path], hashes[row.path] = _loaded(source, row.path)
    return _nested({row.path: merged[row.path] for row in _of_model(plan)}), _with_hashes(plan, source, hashes)


def mean_var_variables(
    scratch: Mapping[str, Array], plan: LoadReport, source: PretrainedSource, backbone_key: Key[Array, ""]
) -> tuple[dict[str, Any], LoadReport]:
    """Returns the scratch model with every parameter that has a source drawn from the moments of its values there.

    Args:
      scratch: all leaves of the model by path, freshly initialised.
      plan: of the load.
      source: gives the moments.
      backbone_key: of the ``backbone_init`` stream.
    """
    known, hashes = {}, {}
    for row in _of_model(plan):
        if row.status == "drawn":
            values = source.leaves[row.path].read()
            known[row.path.removeprefix("params/")], hashes[row.path] = moments(values), array_hash(values)
    variables = _nested(scratch)
    params = _mean_var_program(variables["params"], known, backbone_key)
    return {**variables, "params": params}, _with_hashes(plan, source, hashes)


def _loaded(source: PretrainedSource, path: str) -> tuple[Float[Array, "..."], str]:
    """A leaf of a source on the device, and its hash."""
    kept = _read.get()
    if kept is not None and (id(source), path) in kept:
        return kept[id(source), path][1:]
    values = source.leaves[path].read()
    loaded = _on_device(values), array_hash(values)
    if kept is not None:
        kept[id(source), path] = (source, *loaded)
    return loaded


def _on_device(values: Float[np.ndarray, "..."]) -> Float[Array, "..."]:
    """A copy on the device; on a CPU it is the only one, because JAX takes over host memory of the right alignment."""
    memory = np.empty(values.nbytes + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    copy = memory[start : start + values.nbytes].view(np.float32).reshape(values.shape)
    copy[...] = values
    return jax.device_put(copy).block_until_ready()


def _of_model(plan: LoadReport) -> list[LoadedLeaf]:
    return [row for row in plan.leaves if row.path]


def _with_hashes(plan: LoadReport, source: PretrainedSource, hashes: Mapping[str, str]) -> LoadReport:
    """The plan with the hashes of what was read, and of what was not: it is read for its hash alone."""
    beside = {leaf.source: leaf for leaf in (*source.leaves.values(), *source.ignored)}

    def hash_of(row: LoadedLeaf) -> str:
        return array_hash(beside[row.source].read()) if row.status == "ignored" else hashes.get(row.path, "")

    return LoadReport(tuple(dataclasses.replace(row, hash=hash_of(row)) for row in plan.leaves))


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    nested = traverse_util.unflatten_dict(dict(flat), sep="/")
    return {"params": nested["params"], "batch_stats": nested.get("batch_stats", {})}


@functools.lru_cache(maxsize=16)
def _scratch_program(spec: Spec, part: str) -> Callable[..., dict[str, Any]]:
    """One compiled initialisation per spec and part; parameters are float32 whatever the model computes in.

    The head has a program of its own, so that it is the same array whatever becomes of the backbone, and a load does
    not draw a backbone that it throws away.
    """
    initialise = initialisation(spec)

    def initialise_scratch(part_key: Key[Array, ""]) -> dict[str, Any]:
        flat = traverse_util.flatten_dict(initialise(part_key), sep="/")
        return {path: leaf for path, leaf in flat.items() if path.startswith(HEAD) == (part == "head")}

    return jax.jit(initialise_scratch)


def _scratch_leaves(spec: Spec, seed: int, paths: Collection[str]) -> dict[str, Array]:
    """Draws the parts of a model that hold some leaves, each from its own stream: the head, the backbone, or both."""
    parts = {"head" if path.startswith(HEAD) else "backbone" for path in paths}
    drawn = (_scratch_program(spec, part)(key(seed, f"{part}_init")) for part in sorted(parts))
    return {path: leaf for leaves in drawn for path, leaf in leaves.items()}


def new_head(spec: Spec, seed: int) -> dict[str, Any]:
    """Returns the head that every init gives a seed, as part of ``params``; nothing for a model without one.

    Args:
      spec: of the model.
      seed: of the run.
    """
    return _nested(_scratch_leaves(spec, seed, [HEAD]))["params"] if spec.num_classes else {}


_mean_var_program = jax.jit(mean_var_params)


def initial_variables(
    init: str,
    spec: Spec,
    source: PretrainedSource | None,
    seed: int,
    *,
    keep_head: bool = False,
    copied: int | None = None,
) -> tuple[dict[str, Any], LoadReport]:
    """Returns the variables that an arm starts from, and what became of every leaf.

    For one seed the head is the same array under every init (unless the source's own head is kept), and the scratch
    parts of the backbone come from their own stream.

    Args:
      init: ``"pretrained"``, ``"scratch"`` or ``"mean_var"``.
      spec: of the model.
      source: where pretrained values come from; may be None for scratch.
      seed: of the run.
      keep_head: with ``"pretrained"``, load the source's head too.
      copied: number of blocks that come from the source, the others being initialised anew; None takes all.

    Raises:
      InputError: where an init needs a source and there is none, or the source does not fit.
    """
    plan = plan_load(init, spec, source, keep_head=keep_head, copied=copied)
    anew = [row.path for row in _of_model(plan) if init != "pretrained" or row.status == "reset"]
    scratch = _scratch_leaves(spec, seed, anew)
    if init == "scratch":
        return _nested(scratch), plan
    if init == "pretrained":
        return pretrained_variables(scratch, plan, source)
    return mean_var_variables(scratch, plan, source, key(seed, "backbone_init"))
