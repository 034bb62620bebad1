"""After training: how far every depth of an arm has moved from its start, and how far it lies from its scratch twin."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from flax import traverse_util
from ml_collections import ConfigDict

from tlj import config as configuration
from tlj.distributed import agree, barrier, is_main
from tlj.errors import InputError
from tlj.experiments.grid import Grid, PlannedRun
from tlj.experiments.screening import screened_examples, write_if_new
from tlj.models.lora import merge_adapters
from tlj.training.features import Features, extract_features
from tlj.training.initial import run_variables
from tlj.training.programs import Programs
from tlj.training.setup import Setup, set_up
from tlj.training.similarity import chance_cka, linear_cka
from tlj.training.stored_run import open_stored_run


def measure_drift(config: ConfigDict, grid: Grid, workdir: pathlib.Path, programs: Programs) -> None:
    """Writes ``screening/drift.json``: linear CKA at every depth of each arm, on the examples that are screened.

    Of every arm its first seed at the largest label budget: its end against its own start, and against the end of the
    twin. An arm whose run is not done or has no checkpoint is left out. Where the file is of these runs, it stays.

    Args:
      config: of the comparison.
      grid: its runs.
      workdir: of the comparison.
      programs: compiled programs to share.
    """
    if not config.screening.examples:
        return
    largest = [run for run in grid.runs if (run.budget, run.seed) == (grid.budgets[-1], grid.seeds[0])]
    done = agree([run.arm.name for run in largest if (workdir / run.folder / "summary.json").exists()])
    # The twin first: the others are held against it.
    runs = sorted((run for run in largest if run.arm.name in done), key=lambda run: run.arm.name != grid.twin)
    path = workdir / "screening" / "drift.json"
    identity = configuration.digest({run.arm.name: run.config_hash for run in runs} | {"": config.screening.examples})
    if not runs or agree(_hash_in(path) == identity):
        return
    rows, ends = [], {}
    for run in runs:
        setup = set_up(run.config, workdir)
        _, examples = screened_examples(setup, config.screening.examples)
        end = _trained(setup, workdir / run.folder)
        # All processes go the way that the first of them can.
        if not agree(end is not None):
            continue
        start = extract_features(setup, programs, _start(setup, run), examples)
        ends[run.arm.name] = extract_features(setup, programs, end, examples)
        twin = ends.get(grid.twin) if run.arm.name != grid.twin else None
        rows.append({"arm": run.arm.name, **_row(start, ends[run.arm.name], twin), "examples": len(examples)})
    if is_main():
        path.parent.mkdir(exist_ok=True)
        told = {"twin": grid.twin, "budget": grid.budgets[-1], "seed": grid.seeds[0], "arms": rows, "hash": identity}
        write_if_new(path, told)
    barrier("drift")


def _hash_in(path: pathlib.Path) -> str:
    try:
        return json.loads(path.read_text())["hash"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _start(setup: Setup, run: PlannedRun) -> Mapping[str, Any]:
    """What the run started from; its adapters, which then change nothing, are left out."""
    variables, _ = run_variables(run.arm.init, setup.spec, setup.pretrained, run.seed, copied=setup.copied)
    return variables


def _trained(setup: Setup, directory: pathlib.Path) -> Mapping[str, Any] | None:
    """The variables of a run's latest checkpoint, its adapters merged; None where there is none that can be read."""
    try:
        stored = open_stored_run(directory)
    except InputError:
        return None
    if stored.base_problem:
        return None
    params = traverse_util.unflatten_dict(stored.params, sep="/")
    if stored.adapters:
        params = merge_adapters(params, stored.adapters)
    return {"params": params, "batch_stats": traverse_util.unflatten_dict(stored.statistics, sep="/")}


def _row(start: Features, end: Features, twin: Features | None) -> dict[str, Any]:
    """CKA by depth, the embedding first, and of what the head reads; what chance gives is of shuffled examples."""
    return {
        "start": [linear_cka(a, b) for a, b in zip(start.blocks, end.blocks, strict=True)],
        "start_features": linear_cka(start.pooled, end.pooled),
        "twin": [linear_cka(a, b) for a, b in zip(twin.blocks, end.blocks, strict=True)] if twin else None,
        "twin_features": linear_cka(twin.pooled, end.pooled) if twin else None,
        "chance": [chance_cka(a, b) for a, b in zip(start.blocks, end.blocks, strict=True)],
        "chance_features": chance_cka(start.pooled, end.pooled),
    }
