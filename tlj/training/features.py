"""What a model makes of examples on the way to its head: the features that the head reads, and every block's output."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jaxtyping import Array, Float, Int

from tlj.data.images import Preprocessing
from tlj.data.sources import Reader
from tlj.data.text import TextPreprocessing
from tlj.models.registry import Spec, build
from tlj.models.shapes import model_shapes
from tlj.training.evaluate import predict
from tlj.training.inputs import Inputs, evaluation_inputs
from tlj.training.parallel import batch_sharding, replicated, state_shardings
from tlj.training.programs import Programs
from tlj.training.setup import Setup


@dataclasses.dataclass(frozen=True, eq=False)
class Features:
    """What a model makes of examples, in evaluation mode.

    Attributes:
      pooled: what the head reads.
      blocks: the output of the embedding (depth 0) and of every block (depths 1 to L), each the mean over its places:
        pixels of a map, patches and class token, or the real tokens of a text.
    """

    pooled: Float[np.ndarray, "n width"]
    blocks: tuple[Float[np.ndarray, "n depth_width"], ...]


def make_feature_step(
    spec: Spec, dtype: str, preprocessing: Preprocessing | TextPreprocessing
) -> Callable[[Mapping[str, Any], Mapping[str, Any], Mapping[str, Array]], Float[Array, "batch all_widths"]]:
    """Builds ``feature_step(params, batch_stats, batch)``: pooled features and block outputs side by side.

    Args:
      spec: of the model, whose head is not used.
      dtype: what the backbone computes in; the features are float32.
      preprocessing: of the model.
    """
    module = _headless(spec, dtype)

    def feature_step(
        params: Mapping[str, Any], batch_stats: Mapping[str, Any], batch: Mapping[str, Array]
    ) -> Float[Array, "batch all_widths"]:
        variables = {"params": params, "batch_stats": batch_stats}
        return jnp.concatenate(_captured(module, spec.depth, variables, evaluation_inputs(batch, preprocessing)), 1)

    return feature_step


def _headless(spec: Spec, dtype: str = "float32") -> nn.Module:
    return build(dataclasses.replace(spec, num_classes=0), dtype)


def _captured(
    module: nn.Module, depth: int, variables: Mapping[str, Any], inputs: Inputs
) -> list[Float[Array, "batch width"]]:
    """The pooled features, and what leaves the embedding and each block, averaged over places."""
    names = ("embedding", *(f"block{i}" for i in range(depth)))

    def is_depth(inner: nn.Module, method: str) -> bool:
        return method == "__call__" and inner.path[:1] == ("backbone",) and inner.path[1:] in {(n,) for n in names}

    pooled, captured = module.apply(
        variables, inputs, train=False, capture_intermediates=is_depth, mutable=["intermediates"]
    )
    found = captured["intermediates"]["backbone"]
    mask = inputs.get("attention_mask") if isinstance(inputs, Mapping) else None
    return [pooled, *(_mean_over_places(found[name]["__call__"][0], mask) for name in names)]


def _mean_over_places(
    values: Float[Array, "batch *places width"], mask: Int[Array, "batch length"] | None
) -> Float[Array, "batch width"]:
    values = values.reshape(values.shape[0], -1, values.shape[-1]).astype(jnp.float32)
    if mask is None:
        return values.mean(axis=1)
    weights = mask[..., None].astype(jnp.float32)
    return (values * weights).sum(axis=1) / jnp.maximum(weights.sum(axis=1), 1)


@functools.lru_cache(maxsize=32)
def _widths(spec: Spec) -> tuple[int, ...]:
    """The width of the pooled features, and of each depth; nothing is computed."""

    def capture(variables: Mapping[str, Any]) -> list[Array]:
        variables = {"params": _backbone(variables["params"]), "batch_stats": variables["batch_stats"]}
        return _captured(_headless(spec), spec.depth, variables, spec.example(1))

    return tuple(leaf.shape[1] for leaf in jax.eval_shape(capture, model_shapes(spec)))


def _backbone(params: Mapping[str, Any]) -> dict[str, Any]:
    return {"backbone": params["backbone"]}


def extract_features(
    setup: Setup,
    programs: Programs,
    variables: Mapping[str, Any],
    examples: Int[np.ndarray, " n"],
    *,
    reader: Reader | None = None,
) -> Features:
    """Returns what a model makes of examples, in order, read as evaluation reads them; nothing is random.

    One program serves every arm, seed and label budget of a model. Of several processes, every one asks and gets all.

    Args:
      setup: of a run: its model, its data, its devices and the batch size of its evaluation.
      programs: compiled programs to share.
      variables: ``params`` and ``batch_stats`` of the model, without adapters (``merge_adapters``).
      examples: indices; at least one.
      reader: of the source that the examples are in, opened with the preprocessing of the run; None is the run's own.
    """
    reader = reader or setup.reader
    own = {"params": _backbone(variables["params"]), "batch_stats": variables["batch_stats"]}
    on_devices, shapes, shardings = placed(setup.mesh, own)

    def program_of(batch: Mapping[str, Any]) -> Callable[..., jax.Array]:
        return _feature_program(setup, programs, (shapes, shardings), batch)

    size = setup.config["evaluate"]["batch_size"]
    columns = predict(program_of, on_devices, reader, examples, size, batch_sharding(setup.mesh))
    pooled, *blocks = np.split(columns, np.cumsum(_widths(setup.spec))[:-1], axis=1)
    return Features(pooled, tuple(blocks))


def _feature_program(
    setup: Setup,
    programs: Programs,
    trees: tuple[Mapping[str, Any], Mapping[str, Any]],
    batch: Mapping[str, Any],
) -> Callable[..., jax.Array]:
    mesh, (shapes, shardings) = setup.mesh, trees
    sharding = batch_sharding(mesh)

    def make() -> jax.stages.Wrapped:
        return jax.jit(
            make_feature_step(setup.spec, setup.dtype, setup.preprocessing),
            in_shardings=(shardings["params"], shardings["batch_stats"], sharding),
            out_shardings=replicated(mesh),
        )

    batch_shapes = {name: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=sharding) for name, a in batch.items()}
    of_batch = tuple(sorted((name, array.shape, array.dtype) for name, array in batch.items()))
    of_mesh = (tuple(mesh.shape.items()), tuple(mesh.devices.flat))
    program_key = ("features", setup.spec, setup.dtype, setup.preprocessing, *of_mesh, of_batch)
    program, _ = programs.get(program_key, make, shapes["params"], shapes["batch_stats"], batch_shapes)
    return program.call


def placed(mesh: Mesh, variables: Mapping[str, Any]) -> tuple[dict[str, Any], Any, Any]:
    """Returns variables on the devices as a state has them, their shapes and their shardings."""
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), dict(variables))
    shardings = state_shardings(mesh, shapes)
    return jax.tree.map(_put, dict(variables), shardings), shapes, shardings


def _put(leaf: Any, sharding: NamedSharding) -> jax.Array:
    if jax.process_count() == 1:
        return jax.device_put(leaf, sharding)
    # Every process has the whole leaf on its own, as it has a batch.
    whole = np.asarray(leaf)
    return jax.make_array_from_callback(whole.shape, sharding, lambda index: whole[index])
