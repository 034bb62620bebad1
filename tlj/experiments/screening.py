"""Before training: features of labelled examples under each init, from which the evidence computes scores.

Nothing here decides anything.
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from ml_collections import ConfigDict

from tlj import config as configuration
from tlj.data.label_kinds import strata
from tlj.data.parts import pool_and_test
from tlj.data.settings import DataSettings
from tlj.data.sources import Source, open_reader, open_source
from tlj.data.stratified import stratified_order
from tlj.distributed import agree, barrier, is_main
from tlj.errors import InputError
from tlj.experiments.grid import Grid, PlannedRun
from tlj.models.registry import Spec
from tlj.training.features import extract_features
from tlj.training.identity import decisive
from tlj.training.initial import run_variables
from tlj.training.programs import Programs
from tlj.training.run_files import full_disk_told, write_json
from tlj.training.setup import Setup, set_up

Indices = Int[np.ndarray, " n"]

# Of the "data" stream: splits, budgets and batches have orders of their own.
_PART = 7
# What of a run's config decides its features, besides its init, its seed and which examples there are.
_DECIDING = ("model.", "data.source", "data.hash", "data.columns.", "data.classes", "data.text.", "dtype", "task")


def screen(config: ConfigDict, grid: Grid, workdir: pathlib.Path, programs: Programs) -> None:
    """Writes the features of examples of the labelled pool under every init of the arms: ``screening/INIT.npz``.

    The examples are the same for every init, and none of them is in the test set. Where the data that the backbone was
    trained on is known, as many of its examples go to ``source.npz``, under the pretrained init. ``screening.json``
    says what there is. What is there already is left as it is.

    Args:
      config: of the comparison.
      grid: its runs.
      workdir: of the comparison; the source that ``config.pretrain`` makes is there.
      programs: compiled programs to share.

    Raises:
      InputError: where ``config.screening.data`` cannot be opened, or is not for this model.
    """
    if not config.screening.examples:
        return
    folder = workdir / "screening"
    folder.mkdir(exist_ok=True)
    # The first seed's: scratch and mean_var weights are drawn with it.
    firsts = dict(sorted({run.arm.init: run for run in reversed(grid.runs)}.items()))
    files: dict[str, Any] = {}
    told: dict[str, Any] = {"source": None}
    for init, run in firsts.items():
        setup = set_up(run.config, workdir)
        pool, chosen = screened_examples(setup, config.screening.examples)
        files[init] = _write_features(folder / f"{init}.npz", run, setup, setup.source, chosen, programs)
        told |= {"data": setup.source.name, "pool": len(pool), "examples": len(chosen), "seed": run.seed}
        if init == "pretrained" and (source := source_data(config, grid, setup.spec)):
            of_source = _source_examples(config, grid, source, len(chosen))
            told["source"] = {"data": source.name, "examples": len(of_source)}
            files["source"] = _write_features(folder / "source.npz", run, setup, source, of_source, programs)
    if is_main():
        write_if_new(folder / "screening.json", {**told, "files": files})
    barrier("screening")


def screened_examples(setup: Setup, examples: int) -> tuple[Indices, Indices]:
    """Returns the labelled pool, and which of it is screened: a fair part, or all; the same for every run.

    Args:
      setup: of any run.
      examples: how many, at most.
    """
    data, source = setup.config["data"], setup.source
    pool, _ = pool_and_test(source, data, every_class=False)
    return pool, _fair_part(source, pool, examples, data["split_seed"])


def _fair_part(source: Source, pool: Indices, examples: int, split_seed: int) -> Indices:
    return np.sort(pool[stratified_order(strata(source.labels[pool]), split_seed, _PART)[:examples]])


def source_data(config: ConfigDict, grid: Grid, spec: Spec) -> Source | None:
    """Returns the data that the backbone was trained on, or None where the config names none or nothing is screened.

    Args:
      config: of the comparison: ``screening.data``, or else ``pretrain``.
      grid: its runs.
      spec: of the model.

    Raises:
      InputError: where ``screening.data`` cannot be opened, or the model cannot take it.
    """
    if not config.screening.examples or all(arm.init != "pretrained" for arm in grid.arms):
        return None
    if not config.screening.data:
        return open_source(DataSettings.of(grid.source["data"], config.task)) if grid.source else None
    where, own = "config.screening.data", DataSettings.of(config.data, config.task)
    try:
        source = open_source(DataSettings(config.screening.data, task=own.task))
    except InputError as error:
        raise InputError(error.what, where=where, nearest=error.nearest, do=error.do) from error
    kind = open_source(own).kind
    misfit = "" if source.kind == kind else f"{source.name} holds {source.kind}, the data of the comparison {kind}"
    if not misfit and source.preprocessing is not None:
        misfit = source.preprocessing.misfit(spec)
    if misfit:
        raise InputError(misfit, where=where, do="name data that the model takes, or leave it empty")
    return source


def _source_examples(config: ConfigDict, grid: Grid, source: Source, examples: int) -> Indices:
    if config.screening.data:
        pool = np.asarray(source.parts.get("train", np.arange(len(source.labels))))
    else:
        pool, _ = pool_and_test(source, grid.source["data"], every_class=False)
    return _fair_part(source, pool, examples, config.data.split_seed)


def _write_features(
    path: pathlib.Path, run: PlannedRun, setup: Setup, source: Source, examples: Indices, programs: Programs
) -> dict[str, Any]:
    """Writes the features of examples under a run's init, unless they are there, and returns what the file is."""
    ids = hashlib.sha256("\n".join(source.ids[i] for i in examples).encode()).hexdigest()[:16]
    identity = _identity(run, source, ids)
    if not agree(_is_of(path, identity)):
        variables, _ = run_variables(run.arm.init, setup.spec, setup.pretrained, run.seed)
        reader = None if source is setup.source else open_reader(source, setup.preprocessing, setup.fit.reading)
        reader = getattr(reader, "evaluation", reader)
        features = extract_features(setup, programs, variables, examples, reader=reader).pooled
        if is_main():
            _save(path, features=features, labels=source.labels[examples], ids=np.array(ids), hash=np.array(identity))
    return {"file": path.name, "ids": ids, "hash": identity}


def _identity(run: PlannedRun, source: Source, ids: str) -> str:
    deciding = {key: value for key, value in decisive(run.config).items() if key.startswith(_DECIDING)}
    of_examples = {"of": source.digest, "ids": ids}
    return configuration.digest({**deciding, **of_examples, "init": run.arm.init, "seed": run.seed})


def _is_of(path: pathlib.Path, identity: str) -> bool:
    """Whether a file holds the features asked for; a damaged one is written again."""
    if not path.exists():
        return False
    try:
        with np.load(path, allow_pickle=False) as stored:
            return str(stored["hash"]) == identity
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return False


def _save(path: pathlib.Path, **arrays: Float[np.ndarray, "..."]) -> None:
    temporary = path.with_name(path.name + ".tmp")
    with full_disk_told(path.parent):
        with temporary.open("wb") as file:
            np.savez(file, **arrays)
        os.replace(temporary, path)


def write_if_new(path: pathlib.Path, content: Mapping[str, Any]) -> None:
    """Writes a JSON file unless it says this already: what is done is left as it is.

    Args:
      path: of the file.
      content: of JSON values.
    """
    try:
        is_same = json.loads(path.read_text()) == json.loads(json.dumps(content))
    except (OSError, ValueError):
        is_same = False
    if not is_same:
        write_json(path, content)
