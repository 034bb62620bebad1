"""From a resolved config to everything that is fixed about a run; every name and number is checked here."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
from flax import traverse_util
from jax.sharding import Mesh

from tlj.data.images import Augmentation, Preprocessing
from tlj.data.sources import Source, open_source
from tlj.data.splits import Split, budget_split, split_off_test
from tlj.errors import InputError
from tlj.freezing.optimizer import OptimizerSettings
from tlj.freezing.partition import Layout, Phase
from tlj.freezing.strategies import parse_strategy, resolve_init
from tlj.models.registry import Spec, build, family_of, make_spec
from tlj.pretrained.initialise import scratch_variables
from tlj.pretrained.runs import PretrainedSource, checkpoint_steps, read_run
from tlj.streams import key
from tlj.training.parallel import make_mesh


@dataclasses.dataclass(frozen=True, eq=False)
class Setup:
    """What is fixed about a run before its first step.

    Attributes:
      config: the resolved config, nested.
      source: the data.
      split: the run's examples.
      pretrained: the model source, or None.
      init: ``"pretrained"``, ``"scratch"`` or ``"mean_var"``.
      spec: of the model.
      dtype: what the backbone computes in.
      preprocessing: of the model; both arms of a pair share it.
      augmentation: of the training images.
      optimizer: what is compiled into the optimizer.
      phases: of the strategy, by start.
      mesh: over all devices.
    """

    config: Mapping[str, Any]
    source: Source
    split: Split
    pretrained: PretrainedSource | None
    init: str
    spec: Spec
    dtype: str
    preprocessing: Preprocessing
    augmentation: Augmentation
    optimizer: OptimizerSettings
    phases: tuple[Phase, ...]
    mesh: Mesh

    @functools.cached_property
    def module(self) -> nn.Module:
        """The Linen module."""
        return build(self.spec, self.dtype)


@functools.lru_cache(maxsize=32)
def variable_shapes(spec: Spec) -> dict[str, Any]:
    """Returns the shapes of a model's variables; nothing is computed."""
    any_key = key(0, "backbone_init")
    return jax.eval_shape(functools.partial(scratch_variables, build(spec), spec), any_key, any_key)


def model_layout(spec: Spec) -> Layout:
    """Returns the parameter paths of a model and the depth of each."""
    family = family_of(spec)
    paths = traverse_util.flatten_dict(variable_shapes(spec)["params"], sep="/")
    return Layout({path: family.depth_of(path, spec.depth) for path in paths}, spec.depth)


def _read_once(run: pathlib.Path) -> PretrainedSource:
    """Reads a model source, or returns it from memory while its checkpoints are the same."""
    steps = tuple(checkpoint_steps(run))
    written = (run / "checkpoints" / str(steps[-1])).stat().st_mtime_ns if steps else 0
    return _read_version(run.absolute(), steps, written)


@functools.lru_cache(maxsize=2)
def _read_version(run: pathlib.Path, steps: tuple[int, ...], written: int) -> PretrainedSource:
    return read_run(run, steps[-1] if steps else None)


def _model(
    config: Mapping[str, Any], source: Source, base: pathlib.Path
) -> tuple[Spec, Preprocessing, PretrainedSource | None]:
    """The model's sizes and preprocessing: those of its source where it has one, else the config's and the data's."""
    wanted = config["model"]
    classes = {"num_classes": len(source.classes)}
    if not wanted["source"]:
        size = {"image_size": source.preprocessing.image_size}
        return make_spec(wanted["family"], wanted["settings"], **classes, **size), source.preprocessing, None
    pretrained = _read_once(base / wanted["source"])
    spec = dataclasses.replace(pretrained.spec, **classes)
    # A config that names sizes as well must name the source's own, or it describes another model than it trains.
    described = make_spec(wanted["family"], {**dataclasses.asdict(spec), **wanted["settings"]}, **classes)
    if described != spec:
        raise InputError(
            f"the source is {spec}, the config describes {described}",
            where="config.model.settings",
            do="leave the settings out, or use the source's",
        )
    if spec.image_size != source.preprocessing.image_size:
        raise InputError(
            f"the source takes images of {spec.image_size} pixels, {source.name} has {source.preprocessing.image_size}",
            where="config.model.source",
            do="use a source of that size",
        )
    return spec, pretrained.preprocessing, pretrained


def set_up(config: Mapping[str, Any], base: pathlib.Path) -> Setup:
    """Checks a run's config against the data, the model and the devices, and fixes everything that follows from it.

    Args:
      config: the resolved config of one run, nested.
      base: the directory that a relative ``model.source`` is relative to.

    Raises:
      InputError: for anything in the config that cannot be done; nothing has been written or compiled by then.
    """
    data, optimizer = config["data"], config["optimizer"]
    source = open_source(data["source"])
    pool, test = split_off_test(source.labels, data["test_fraction"], data["split_seed"])
    train, validation = budget_split(
        source.labels,
        pool,
        config["label_budget"],
        validation_fraction=data["validation_fraction"],
        seed=config["seed"],
    )
    strategy = parse_strategy(config["strategy"])
    init = resolve_init(strategy, config["init"])
    batch_sizes = {
        "global_batch_size": config["global_batch_size"],
        "evaluate.batch_size": config["evaluate"]["batch_size"],
    }
    spec, preprocessing, pretrained = _model(config, source, base)
    if init != "scratch" and pretrained is None:
        raise InputError(
            f"init {init!r} needs a model source", where="config.model.source", do="name one, or use init 'scratch'"
        )
    return Setup(
        config=config,
        source=source,
        split=Split(train, validation, test),
        pretrained=pretrained,
        init=init,
        spec=spec,
        dtype=config["dtype"],
        preprocessing=preprocessing,
        augmentation=Augmentation(**data["augment"]),
        optimizer=OptimizerSettings(optimizer["name"], optimizer["schedule"], optimizer["clip_norm"]),
        phases=strategy.phases(model_layout(spec)),
        mesh=make_mesh(config["parallel"]["mode"], config["parallel"]["fsdp"], batch_sizes),
    )
