"""The source that a run was made from, found again from what the run's own files say of it."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from tlj.errors import InputError
from tlj.pretrained.hub import is_hub_id
from tlj.pretrained.source import PretrainedSource


def read_run_file(run: pathlib.Path, name: str) -> dict[str, Any]:
    """Returns what a JSON file of a run holds.

    Raises:
      InputError: where it cannot be read or is no JSON object.
    """
    path = run / name
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read ({error})", where=str(path), do="give a whole run directory") from error
    if not isinstance(content, dict):
        raise InputError("not a JSON object", where=str(path), do="give a whole run directory")
    return content


def places_of_source(run: pathlib.Path, source: str) -> tuple[str, ...]:
    """Returns where the source of a run may be found now, the likeliest first; empty where it is gone.

    A path is relative to the comparison that holds the run, or to where one stands.

    Args:
      run: a run directory.
      source: ``config.model.source`` of the run.
    """
    if not source:
        return ()
    named = os.path.expanduser(source)
    places = [parent / named for parent in (*run.absolute().parents, pathlib.Path.cwd())]
    found = tuple(dict.fromkeys(str(place) for place in places if place.exists()))
    return found or ((source,) if is_hub_id(source) else ())


def open_source_of_run(place: str, model: Mapping[str, Any]) -> PretrainedSource:
    """Opens the source of a run at one of its places, with what the run's config says of it beside its place.

    Args:
      place: one of ``places_of_source``.
      model: ``config.model`` of the run.

    Raises:
      InputError: where it cannot be opened.
    """
    # What may be a source includes a run, and what a run may need includes its source.
    from tlj.pretrained.locate import read_source

    return read_source(
        place,
        overrides={"family": model["family"], **model.get("settings", {}), **model.get("preprocessing", {})},
        allow_missing=tuple(model.get("allow_missing", ())),
        step=model.get("step", "latest"),
    )
