"""What a checkpoint tells of the run that it is of, and what that run started from, made again."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from flax import traverse_util

from tlj.errors import InputError
from tlj.freezing.phases import FROZEN, Group, Layout, Phase
from tlj.freezing.strategies import parse_strategy
from tlj.models.lora import Adapters
from tlj.models.registry import Spec, make_spec
from tlj.pretrained.find_checkpoint import find_checkpoint
from tlj.pretrained.load_report import array_hash
from tlj.pretrained.run_source import open_source_of_run, places_of_source
from tlj.pretrained.source import PretrainedSource
from tlj.pretrained.stored import StoredCheckpoint
from tlj.training.distances import Arrays
from tlj.training.initial import run_variables
from tlj.training.run_record import RunRecord
from tlj.training.setup import model_layout


@dataclasses.dataclass(frozen=True, eq=False)
class StoredRun:
    """A run as one of its checkpoints tells it.

    Attributes:
      stored: the checkpoint.
      config: of the run, resolved.
      manifest: of the run, without the sample ids.
      record: what the run remembered.
      spec: of the model.
      adapters: of the model, or None.
      layout: of the model, its adapters included.
      phases: up to that of the checkpoint; of their groups only names and norm modes are told.
      params: by path; the averages of those that the run was evaluated with.
      statistics: by path.
      base_problem: why what a delta leaves out is not among the parameters; empty where all are there.
    """

    stored: StoredCheckpoint
    config: Mapping[str, Any]
    manifest: Mapping[str, Any]
    record: RunRecord
    spec: Spec
    adapters: Adapters | None
    layout: Layout
    phases: tuple[Phase, ...]
    params: Arrays
    statistics: Arrays
    base_problem: str = ""

    @property
    def phase(self) -> Phase:
        """The phase that the checkpoint is in."""
        return self.phases[-1]


def open_stored_run(directory: pathlib.Path, step: int | str | None = None) -> StoredRun:
    """Reads a checkpoint and what it tells of its run; no other file is needed.

    Args:
      directory: a run, its folder of checkpoints, or one of them.
      step: of the checkpoint: a number, ``"best"``, or None or ``"latest"``.

    Raises:
      InputError: where there is no such checkpoint, it cannot be read, or it does not tell its run.
    """
    stored = find_checkpoint(directory, step)
    config, manifest = stored.about["config"], stored.about["manifest"]
    try:
        record, model = RunRecord.from_json(stored.metadata["record"]), manifest["model"]
        spec = make_spec(model["family"], model["spec"])
        adapters = Adapters(**model["adapters"]) if model.get("adapters") else None
        phases = _phases(manifest)[: record.phase.index + 1]
        layout = model_layout(spec, adapters)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise stored.untold(f"its model and its phase ({type(error).__name__}: {error})") from error
    held = stored.held()
    params, problem = _completed(stored, held["params"])
    if (
        len(phases) <= record.phase.index
        or not set(params) <= set(phases[-1].label_of)
        or not set(params) <= set(layout.depths)
    ):
        raise stored.untold("the phase of its parameters")
    return StoredRun(
        stored, config, manifest, record, spec, adapters, layout, phases, params, held["batch_stats"], problem
    )


def _completed(stored: StoredCheckpoint, held: Arrays) -> tuple[Arrays, str]:
    try:
        return stored.completed(held), ""
    except InputError as error:  # What the delta itself holds can be told all the same.
        return held, str(error)


def _phases(manifest: Mapping[str, Any]) -> tuple[Phase, ...]:
    """The run's phases, as far as the manifest has them: what trains in which group, and which norms adapt."""
    return tuple(
        Phase(
            labels=tuple(sorted(told["labels"].items())),
            groups=tuple(
                Group(group["name"], norm_mode=group["norm_mode"])
                for group in told["groups"]
                if group["name"] != FROZEN
            ),
            adapting=tuple(told.get("adapting", ())),
        )
        for told in manifest["phases"]
    )


def start_of_run(run: StoredRun) -> tuple[Arrays, Arrays] | None:
    """Returns the parameters and statistics, by path, that a run started from; None where its source is gone."""
    try:
        source, strategy = _source_of(run), parse_strategy(run.config["strategy"])
        init, seed = run.manifest["init"], run.config["seed"]
        if run.base_problem or (init != "scratch" and source is None):
            return None
        variables, _ = run_variables(init, run.spec, source, seed, copied=strategy.copied, adapters=run.adapters)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise run.stored.untold(f"what its run started from ({type(error).__name__}: {error})") from error
    variables = jax.device_get(variables)
    return tuple(traverse_util.flatten_dict(variables[name], sep="/") for name in ("params", "batch_stats"))


def _source_of(run: StoredRun) -> PretrainedSource | None:
    """The run's model source, which holds what the run says it loaded, or None where it is gone or another by now."""
    model = run.config["model"]
    for place in places_of_source(run.stored.run, model["source"]):
        try:
            found = open_source_of_run(place, model)
            if _is_loaded_from(found, run.manifest["load_report"]):
                return found
        except InputError:  # Damaged: what the checkpoint itself holds can be told all the same.
            continue
    return None


def _is_loaded_from(source: PretrainedSource, load_report: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a source holds the very values that a run says it loaded."""
    hashes = {row["path"]: row["hash"] for row in load_report if row["hash"] and row["path"]}
    return all(
        path in source.leaves and array_hash(source.leaves[path].read()) == found for path, found in hashes.items()
    )
