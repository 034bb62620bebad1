"""What ``screening/`` of a comparison holds: features under each init, and drift; nothing in it is executed."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Num

from tlj.errors import InputError
from tlj.evidence.run_files import read_json

FOLDER, SOURCE = "screening", "source"
AGAIN = "remove this file and run `tlj compare` again"


@dataclass(frozen=True, eq=False)
class FeatureFile:
    """Features of examples under one init, and the labels of the examples."""

    features: Float[np.ndarray, "n width"]
    labels: Num[np.ndarray, "n ..."]


@dataclass(frozen=True, eq=False)
class ScreeningFiles:
    """What was written about a comparison's features.

    Args:
      told: ``screening.json``.
      inits: features of the same examples by init.
      source: features of examples that the backbone was trained on, under the pretrained init, or None.
      missing: what was written once and is no longer there, as where only small files were kept.
    """

    told: Mapping[str, Any]
    inits: Mapping[str, FeatureFile]
    source: FeatureFile | None
    missing: tuple[str, ...] = ()


def read_screening(directory: Path) -> ScreeningFiles | None:
    """Reads what was screened; None where nothing was.

    Args:
      directory: of the comparison.

    Raises:
      InputError: a file is damaged, or two inits are of other examples.
    """
    folder = Path(directory) / FOLDER
    if not (folder / "screening.json").is_file():
        return None
    told = read_json(folder / "screening.json")
    names = [name for name in sorted(told.get("files") or {}) if name == Path(name).name]
    missing = tuple(name for name in names if not (folder / f"{name}.npz").exists())
    found = {name: _read(folder / f"{name}.npz") for name in names if name not in missing}
    source = found.pop(SOURCE, None)
    first = next(iter(found.values()), None)
    for name, file in found.items():
        if not np.array_equal(file.labels, first.labels):
            raise InputError(
                "holds features of other examples than the other inits", where=str(folder / f"{name}.npz"), do=AGAIN
            )
    return ScreeningFiles(told, found, source, missing)


def read_drift(directory: Path) -> dict[str, Any] | None:
    """Reads how far the representations moved; None where that was not measured.

    Args:
      directory: of the comparison.

    Raises:
      InputError: the file cannot be read.
    """
    path = Path(directory) / FOLDER / "drift.json"
    return read_json(path) if path.is_file() else None


def _read(path: Path) -> FeatureFile:
    try:
        with np.load(path, allow_pickle=False) as stored:
            features, labels = stored["features"], stored["labels"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"cannot be read as features ({error})", where=str(path), do=AGAIN) from error
    if features.ndim != 2 or features.dtype.kind != "f" or len(features) != len(labels):
        raise InputError("does not hold a row of features for each label", where=str(path), do=AGAIN)
    return FeatureFile(features, labels)
