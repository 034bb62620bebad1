"""From a resolved config to everything that is fixed about a run; every name and number is checked here."""

from __future__ import annotations

import dataclasses
import functools
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import grain
import jax
import numpy as np
from flax import traverse_util
from jax.sharding import Mesh

from tlj.data.images import Augmentation, Preprocessing
from tlj.data.order import Order
from tlj.data.parts import pool_and_test
from tlj.data.pipeline import training_batches, training_order
from tlj.data.reuse import reused_split
from tlj.data.settings import DataSettings
from tlj.data.sources import Reader, Source, open_reader, open_source
from tlj.data.splits import Split, budget_split
from tlj.data.text import TextPreprocessing
from tlj.errors import InputError
from tlj.freezing.phases import Layout, Phase
from tlj.freezing.strategies import Strategy, control_name, parse_strategy, resolve_init
from tlj.models.activations import FromDepth
from tlj.models.attention.kernels import Kernels
from tlj.models.lora import ROOT, Adapters, adapter_shapes
from tlj.models.registry import Spec, build, family_of
from tlj.models.shapes import model_shapes
from tlj.pretrained.load_plan import plan_load
from tlj.pretrained.load_report import LoadReport
from tlj.pretrained.source import PretrainedSource
from tlj.training.cached.checks import check_cache
from tlj.training.cached.reader import CachedInputs
from tlj.training.fit import Fit, fit_model
from tlj.training.kernels import check_kernels, resolve_kernels
from tlj.training.parallel import host_of, make_mesh
from tlj.training.retention import check_best
from tlj.training.run_phases import run_phases
from tlj.training.shifts import ShiftedSet, check_shifts, open_shifts
from tlj.training.step_settings import StepSettings, check_dividing, step_settings
from tlj.training.stopping import check_stopping
from tlj.training.wrappers import Wrapper, make_wrapper
from tlj.training.writers.writers import check_writers


@dataclasses.dataclass(frozen=True, eq=False)
class Setup:
    """What is fixed about a run before its first step.

    Attributes:
      config: the resolved config, nested.
      source: the data.
      split: the run's examples.
      fit: how model and data fit: spec, preprocessing, model source, and how examples are read.
      init: ``"pretrained"``, ``"scratch"`` or ``"mean_var"``.
      dtype: what the backbone computes in.
      augmentation: of the training images.
      settings: what else is compiled into a step.
      copied: number of blocks that come from the source, the others being initialised anew; None where all do.
      phases: of the strategy, by start; their groups are complete.
      mesh: over all devices.
      shifts: test sets of another domain.
      cached: what steps and evaluation start from in place of inputs; None: from inputs.
    """

    config: Mapping[str, Any]
    source: Source
    split: Split
    fit: Fit
    init: str
    dtype: str
    augmentation: Augmentation
    settings: StepSettings
    copied: int | None
    phases: tuple[Phase, ...]
    mesh: Mesh
    shifts: tuple[ShiftedSet, ...] = ()
    cached: CachedInputs | None = None

    @property
    def spec(self) -> Spec:
        """The sizes of the model."""
        return self.fit.spec

    @property
    def pretrained(self) -> PretrainedSource | None:
        """The model source, or None."""
        return self.fit.pretrained

    @functools.cached_property
    def reader(self) -> Reader:
        """The examples as the model takes them for evaluation, read or tokenised when first asked for."""
        if self.cached:
            return self.cached.reader
        reader = open_reader(self.source, self.fit.preprocessing, self.fit.reading)
        return getattr(reader, "evaluation", reader)

    @functools.cached_property
    def training_reader(self) -> Reader:
        """The examples as a training step takes them."""
        if self.cached:
            return self.cached.training_reader
        return open_reader(self.source, self.fit.preprocessing, self.fit.training_reading)

    @property
    def preprocessing(self) -> Preprocessing | TextPreprocessing | FromDepth:
        """What the model expects of its inputs, whichever of them come; both arms of a pair share it."""
        return FromDepth(self.cached.depth) if self.cached else self.fit.preprocessing

    @functools.cached_property
    def wrapper(self) -> Wrapper:
        """How a step runs over the devices."""
        return make_wrapper(self.config["parallel"]["mode"], self.mesh)

    @functools.cached_property
    def batches(self) -> grain.MapDataset:
        """The training batches by step: the rows of this process."""
        host, hosts = host_of(self.mesh)
        return training_batches(
            self.training_reader,
            self.split.train,
            **self._order_settings(),
            host=host,
            hosts=hosts,
            views=self.cached.views if self.cached else 0,
        )

    @functools.cached_property
    def order(self) -> Order:
        """The indices of the examples in every global batch, by step."""
        return training_order(self.training_reader, self.split.train, **self._order_settings())

    def _order_settings(self) -> dict[str, Any]:
        return {
            "batch_size": self.config["global_batch_size"],
            "seed": self.config["seed"],
            "steps": self.config["steps"],
            "balance": self.config["data"]["balance"],
            "labels": self.source.labels,
        }

    @functools.cached_property
    def usual_batch(self) -> dict[str, np.ndarray]:
        """A training batch whose shapes stand for all where one will do: of lengths, the median among the first."""
        if not self.training_reader.by_length:
            return self.batches[0]
        first = [self.batches[step] for step in range(min(self.config["steps"], 64))]
        tokens = "activations" if self.cached else "input_ids"
        return sorted(first, key=lambda batch: batch[tokens].size)[len(first) // 2]

    @functools.cached_property
    def kernels(self) -> Kernels:
        """How a training step computes attention."""
        return self._kernels(divides=self.wrapper.rows.axis is None)

    def _kernels(self, *, divides: bool) -> Kernels:
        return resolve_kernels(self.config, self.mesh, family_of(self.spec), divides=divides)

    @functools.cached_property
    def module(self) -> nn.Module:
        """The Linen module, as evaluation takes it."""
        return build(self.spec, self.dtype, kernels=self._kernels(divides=True))

    @functools.cached_property
    def training_module(self) -> nn.Module:
        """The same as a step takes it."""
        return build(self.spec, self.dtype, self.config["remat"], self.wrapper.rows.axis, self.kernels)

    @property
    def layout(self) -> Layout:
        """The parameters of the model and their depths."""
        return model_layout(self.spec, self.settings.adapters)

    @functools.cached_property
    def control(self) -> str:
        """What the run is a control for, or an empty text."""
        return control_name(self.phases, self.init)

    @functools.cached_property
    def load_plan(self) -> LoadReport:
        """What will become of every leaf of the model when it is initialised."""
        return plan_load(self.init, self.spec, self.pretrained, copied=self.copied)


@functools.lru_cache(maxsize=32)
def variable_shapes(spec: Spec, adapters: Adapters | None = None) -> dict[str, Any]:
    """Returns the shapes of a model's variables, its adapters among the parameters; nothing is computed."""
    shapes = model_shapes(spec)
    if adapters is None:
        return shapes
    return {**shapes, "params": {**shapes["params"], ROOT: adapter_shapes(shapes["params"], adapters)}}


def model_layout(spec: Spec, adapters: Adapters | None = None) -> Layout:
    """Returns the parameter paths of a model and the depth of each; an adapter has the depth of what it adapts."""
    family, shapes = family_of(spec), variable_shapes(spec, adapters)
    paths = traverse_util.flatten_dict(shapes["params"], sep="/")
    statistics = {path.rpartition("/")[0] for path in traverse_util.flatten_dict(shapes["batch_stats"], sep="/")}
    depths = {path: family.depth_of(path.removeprefix(f"{ROOT}/"), spec.depth) for path in paths}
    return Layout(depths, spec.depth, tuple(sorted(statistics)))


def _split(config: Mapping[str, Any], source: Source) -> Split:
    """The examples of a run: those that another run has written down, or a budget drawn from the pool."""
    data, budget, seed = config["data"], config["label_budget"], config["seed"]
    if data["split_from"]:
        return reused_split(source, data["split_from"], budget, seed)
    return _drawn_split(source, json.dumps(data, sort_keys=True), budget, seed)


@functools.lru_cache(maxsize=64)
def _drawn_split(source: Source, settings: str, budget: int | str, seed: int) -> Split:
    data = json.loads(settings)
    pool, test = pool_and_test(source, data)
    train, validation = budget_split(
        source.labels,
        pool,
        budget,
        validation_fraction=data["validation_fraction"],
        seed=seed,
        min_per_class=data["min_per_class"],
        classes=source.classes,
    )
    return Split(train, validation, test)


def _check_rules(config: Mapping[str, Any], strategy: Strategy) -> None:
    if config["rules"] and strategy.name != "rules":
        what = f"the strategy is {strategy.text!r}, which reads no rules"
        raise InputError(what, where="config.rules", do="set config.strategy to 'rules', or leave the rules out")


def set_up(
    config: Mapping[str, Any],
    base: pathlib.Path,
    *,
    needs_source: bool = True,
    devices: Sequence[jax.Device] | None = None,
) -> Setup:
    """Checks a run's config against the data, the model and the devices, and fixes everything that follows from it.

    Args:
      config: the resolved config of one run, nested.
      base: the directory that a relative ``model.source`` is relative to.
      needs_source: whether an init that reads a source is refused where there is none; a plan reads nothing.
      devices: to plan for, which need not be here; None is those of this machine.

    Raises:
      InputError: for anything in the config that cannot be done; nothing has been written or compiled by then.
    """
    data = config["data"]
    source = open_source(DataSettings.of(data, config["task"]))
    split, augmentation = _split(config, source), Augmentation(**data["augment"])
    check_stopping(config, config["task"])
    check_writers(config)
    check_best(config)
    strategy = parse_strategy(config["strategy"])
    init = resolve_init(strategy, config["init"])
    _check_rules(config, strategy)
    fit = fit_model(config, source, augmentation, base)
    if needs_source and init != "scratch" and fit.pretrained is None:
        raise InputError(
            f"init {init!r} needs a model source", where="config.model.source", do="name one, or use init 'scratch'"
        )
    shifts = open_shifts(config, source)
    learnt = np.concatenate([split.train, split.validation])
    check_shifts(shifts, source, learnt, fit.spec, fit.preprocessing, bool(fit.tokenizer_files))
    lora = config["lora"]
    adapters = Adapters(strategy.rank, lora["alpha"], tuple(lora["targets"])) if strategy.name == "lora" else None
    layout = model_layout(fit.spec, adapters)
    phases = run_phases(config, strategy, layout, len(split.train))
    if fit.pretrained is not None:
        # A source that does not fit is refused before anything is written.
        plan_load(init, fit.spec, fit.pretrained, copied=strategy.copied)
    parallel, size = config["parallel"], config["global_batch_size"]
    mesh = make_mesh(parallel["mode"], parallel["fsdp"], {"global_batch_size": size}, devices)
    check_dividing(config, mesh.size)
    check_kernels(config, mesh, family_of(fit.spec))
    check_cache(config, augmentation, phases, layout)
    return Setup(
        config=config,
        source=source,
        split=split,
        fit=fit,
        init=init,
        dtype=config["dtype"],
        augmentation=augmentation,
        settings=step_settings(config, strategy, layout, phases, adapters),
        copied=strategy.copied,
        phases=phases,
        mesh=mesh,
        shifts=shifts,
    )
