"""The three inits of an arm: pretrained, scratch, and mean_var; whatever the init, the head is the same array."""

from __future__ import annotations

import dataclasses
import functools
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from flax import traverse_util
from jaxtyping import Array, Key

from tlj.errors import InputError, unknown_name
from tlj.models.registry import Spec, build, family_of
from tlj.pretrained.load_report import LoadedLeaf, LoadReport, array_hash
from tlj.pretrained.runs import PretrainedSource
from tlj.streams import key

INITS = ("pretrained", "scratch", "mean_var")


def scratch_variables(
    module: nn.Module, spec: Spec, backbone_key: Key[Array, ""], head_key: Key[Array, ""]
) -> dict[str, Any]:
    """Initialises a model anew: the backbone from one stream, the head from another.

    Args:
      module: a ``Classifier``.
      spec: its spec.
      backbone_key: of the ``backbone_init`` stream.
      head_key: of the ``head_init`` stream.

    Returns:
      ``{"params": ..., "batch_stats": ...}``; the statistics are empty for a family without.
    """
    inputs = spec.example(1)
    variables = module.init(backbone_key, inputs)
    params = {**variables["params"], "head": module.init(head_key, inputs)["params"]["head"]}
    return {"params": params, "batch_stats": variables.get("batch_stats", {})}


def moments(params: Mapping[str, Any]) -> dict[str, tuple[np.float32, np.float32]]:
    """Returns mean and standard deviation of every leaf, by path, computed in float64."""
    flat = traverse_util.flatten_dict(params, sep="/")
    return {path: (np.float32(np.mean(leaf, dtype=np.float64)), np.float32(np.std(leaf, dtype=np.float64)))
            for path, leaf in flat.items()}  # fmt: skip


def mean_var_params(
    params: Mapping[str, Any], leaf_moments: Mapping[str, tuple[Array, Array]], backbone_key: Key[Array, ""]
) -> dict[str, Any]:
    """Draws every leaf from a normal with the mean and standard deviation of its pretrained values.

    The control of Raghu et al. 2019 (arXiv:1902.07208, section 4): it keeps the scale of the weights and drops what
    they compute, so it tells how much of a gain is scale.

    Args:
      params: gives structure, shapes and types.
      leaf_moments: of ``moments``; a path that is missing keeps its leaf from ``params``.
      backbone_key: of the ``backbone_init`` stream.
    """
    flat = dict(traverse_util.flatten_dict(params, sep="/"))
    for path, (mean, std) in leaf_moments.items():
        drawn = jax.random.normal(jax.random.fold_in(backbone_key, zlib.crc32(path.encode())), flat[path].shape)
        flat[path] = (mean + std * drawn).astype(flat[path].dtype)
    return traverse_util.unflatten_dict(flat, sep="/")


def pretrained_variables(
    scratch: Mapping[str, Any], source: PretrainedSource, *, keep_head: bool = False, copied: int | None = None
) -> tuple[dict[str, Any], LoadReport]:
    """Puts a source's parameters and statistics into a model.

    Args:
      scratch: the model's freshly initialised variables; the head stays as it is here.
      source: what to load.
      keep_head: whether the head is loaded too.
      copied: number of blocks to load, with the embedding; the others stay as they are in ``scratch``. None loads all.

    Returns:
      Variables and the report, which accounts for every leaf of the model.

    Raises:
      InputError: listing every missing, extra and misshapen leaf.
    """
    wanted = traverse_util.flatten_dict(dict(scratch), sep="/")
    found = traverse_util.flatten_dict(source.variables, sep="/")
    deepest = source.spec.depth if copied is None else copied
    depths = {path: family_of(source.spec).depth_of(path.partition("/")[2], source.spec.depth) for path in wanted}
    is_head = {path for path in wanted if path.startswith("params/head/")}
    reset = {path for path in wanted if (not keep_head if path in is_head else depths[path] > deepest)}
    problems = [f"missing {path}" for path in sorted(set(wanted) - set(found) - reset)]
    problems += [f"extra {path}" for path in sorted(set(found) - set(wanted))]
    for path in sorted(set(wanted) & set(found) - reset):
        if found[path].shape != wanted[path].shape:
            problems.append(f"{path} has shape {found[path].shape}, the model wants {wanted[path].shape}")
    if problems:
        raise InputError("; ".join(problems), where="config.model.source", do="give a source of the same architecture")

    def entry(path: str) -> LoadedLeaf:
        shape = tuple(wanted[path].shape)
        if path in reset:
            return LoadedLeaf(path, "reset", "", shape, "")
        return LoadedLeaf(path, "loaded", path, shape, array_hash(found[path]))

    # Parameters are of the model's type, whatever the source stored.
    merged = {p: leaf if p in reset else np.asarray(found[p], dtype=leaf.dtype) for p, leaf in wanted.items()}
    nested = traverse_util.unflatten_dict(merged, sep="/")
    variables = {"params": nested["params"], "batch_stats": nested.get("batch_stats", {})}
    return variables, LoadReport(tuple(entry(path) for path in sorted(wanted)))


@functools.lru_cache(maxsize=8)
def _scratch_program(spec: Spec) -> Callable[..., dict[str, Any]]:
    """One compiled initialisation per spec; parameters are float32 whatever the model computes in."""
    module = build(spec)

    def initialise_scratch(backbone_key: Key[Array, ""], head_key: Key[Array, ""]) -> dict[str, Any]:
        return scratch_variables(module, spec, backbone_key, head_key)

    return jax.jit(initialise_scratch)


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
    if init not in INITS:
        raise unknown_name("init", init, INITS, where="config.init")
    backbone_key = key(seed, "backbone_init")
    scratch = _scratch_program(spec)(backbone_key, key(seed, "head_init"))
    paths = sorted(traverse_util.flatten_dict(scratch, sep="/").items())
    if init == "scratch":
        return scratch, LoadReport(tuple(LoadedLeaf(p, "reset", "", tuple(leaf.shape), "") for p, leaf in paths))
    if source is None:
        raise InputError(
            f"init {init!r} needs a source", where="config.model.source", do="name one, or use init 'scratch'"
        )
    loaded, report = pretrained_variables(scratch, source, keep_head=keep_head and init == "pretrained", copied=copied)
    if init == "pretrained":
        return loaded, report
    came = {leaf.path.removeprefix("params/") for leaf in report.leaves if leaf.status == "loaded"}
    known = {path: pair for path, pair in moments(source.variables["params"]).items() if path in came}
    params = _mean_var_program(scratch["params"], known, backbone_key)

    def redrawn(leaf: LoadedLeaf) -> LoadedLeaf:
        if leaf.status == "loaded" and leaf.path.startswith("params/"):
            return dataclasses.replace(leaf, status="drawn")
        return dataclasses.replace(leaf, status="reset", source="", hash="")

    # Running statistics are not weights: they start anew, as in a scratch model.
    variables = {"params": params, "batch_stats": scratch["batch_stats"]}
    return variables, LoadReport(tuple(redrawn(leaf) for leaf in report.leaves))
