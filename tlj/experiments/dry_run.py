"""The dry runs of ``tlj train`` and ``tlj compare``: one of each run, or of each arm, without any of their files."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

from ml_collections import ConfigDict

from tlj.experiments.checks import check_before_work
from tlj.experiments.compare import set_up_run
from tlj.experiments.grid import make_grid
from tlj.training.dry_run import dry_run
from tlj.training.programs import Programs
from tlj.training.setup import set_up


def dry_run_train(config: ConfigDict) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the strategy of the one run that a config describes, and what its dry run found.

    Args:
      config: as ``tlj.experiments.compare.train`` takes it.

    Raises:
      InputError: where the run itself would be refused.
    """
    _, setup = set_up_run(config)
    yield config.strategy, dry_run(setup, Programs())


def dry_run_compare(config: ConfigDict) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the name of each arm, that of the source before them where it is to be trained, and what was found.

    Args:
      config: as ``tlj.experiments.compare.compare`` takes it.

    Raises:
      InputError: where the comparison itself would be refused.
    """
    workdir, grid, programs = pathlib.Path(config.workdir), make_grid(config), Programs()
    setups = check_before_work(config, grid, workdir)
    if grid.source and (workdir / "source" / "summary.json").exists():
        setups = {run.arm.name: set_up(run.config, workdir) for run in grid.runs}
    elif grid.source:
        setups = {"source": set_up(grid.source, workdir), **setups}
    for name, setup in setups.items():
        yield name, dry_run(setup, programs)
