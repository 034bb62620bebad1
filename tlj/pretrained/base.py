"""The base of a delta checkpoint: the parameters that it leaves out, made again and proved by their hash."""

from __future__ import annotations

import contextvars
import dataclasses
import functools
import hashlib
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

import jax
from flax import traverse_util

from tlj.errors import InputError
from tlj.models.registry import make_spec
from tlj.models.shapes import leaf_shapes
from tlj.pretrained.initialise import initial_variables
from tlj.pretrained.load_report import array_hash
from tlj.pretrained.run_source import open_source_of_run, places_of_source
from tlj.pretrained.source import PretrainedSource

# The runs whose bases are being read: files that were tampered with may make a run its own base.
_READING: contextvars.ContextVar[tuple[pathlib.Path, ...]] = contextvars.ContextVar("reading", default=())


@dataclasses.dataclass(frozen=True)
class Base:
    """What a delta checkpoint says of the parameters that it leaves out, which are those that its run started from.

    Attributes:
      init: of the run: ``"pretrained"``, ``"scratch"`` or ``"mean_var"``.
      seed: of the run, which what is not from the source follows from.
      copied: number of blocks that come from the source, the others being initialised anew; None where all do.
      source: ``config.model.source`` as the user wrote it; empty for scratch.
      identity: hash of that source.
      digest: ``base_digest`` of the parameters.
    """

    init: str
    seed: int
    copied: int | None
    source: str
    identity: str
    digest: str = ""

    def __str__(self) -> str:
        return f"source {self.source!r}, init {self.init}, seed {self.seed}" if self.source else f"seed {self.seed}"

    @classmethod
    def from_json(cls, content: Mapping[str, Any], where: str) -> Self:
        """Returns the base that a checkpoint names.

        Raises:
          InputError: where it is not told whole.
        """
        names = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(content, Mapping) or set(content) != names:
            raise InputError(
                f"a delta checkpoint that does not tell {', '.join(sorted(names))} of its base",
                where=where,
                do="train the run again: it was made by another version of tlj",
            )
        return cls(**content)

    def refusal(self, found: str, where: str) -> InputError:
        """Returns the error for a base that is another one.

        Args:
          found: what there is instead.
          where: of the checkpoint.
        """
        return InputError(
            f"a delta on the base with the hash {self.digest} ({self}), which is not to be had: {found}",
            where=where,
            do="put back the source that the run was trained on, on the kind of device that it was trained on",
        )


def base_digest(hashes: Mapping[str, str]) -> str:
    """Returns sixteen hex digits that tell one base from another.

    Args:
      hashes: of the content of each parameter (``tlj.pretrained.load_report.array_hash``), by path.
    """
    lines = "".join(f"{path}\0{digest}\n" for path, digest in sorted(hashes.items()))
    return hashlib.blake2b(lines.encode(), digest_size=8).hexdigest()


def complete_params(run: pathlib.Path, base: Base, kept: Mapping[str, Any], about: Mapping[str, Any]) -> dict[str, Any]:
    """Returns all parameters of a run that keeps a delta, nested.

    Args:
      run: a run directory, or what else holds the checkpoint.
      base: as the checkpoint tells it.
      kept: the parameters in the checkpoint, nested.
      about: the run's ``config`` and ``manifest``, as the checkpoint tells them.

    Raises:
      InputError: where the base is gone or another one.
    """
    here, reading = run.resolve(), _READING.get()
    if here in reading:
        raise InputError(
            "a delta that is its own base", where=str(run), do="put back the source that it was trained on"
        )
    token = _READING.set((*reading, here))
    try:
        return _complete_params(run, base, kept, about)
    finally:
        _READING.reset(token)


def _complete_params(
    run: pathlib.Path, base: Base, kept: Mapping[str, Any], about: Mapping[str, Any]
) -> dict[str, Any]:
    try:
        model = about["manifest"]["model"]
        spec = make_spec(model["family"], model["spec"])
    except (KeyError, TypeError) as error:
        raise _untold(run, "manifest") from error
    flat = dict(traverse_util.flatten_dict(kept, sep="/"))
    paths = {path.removeprefix("params/") for path in leaf_shapes(spec) if path.startswith("params/")} - set(flat)
    problems = []
    for place, opened in _origins(run, base, about):
        try:
            variables, _ = initial_variables(base.init, spec, opened(), base.seed, copied=base.copied)
        except InputError as error:
            problems.append(str(error))
            continue
        made = traverse_util.flatten_dict(variables["params"], sep="/")
        leaves = jax.device_get({path: made[path] for path in paths})
        found = base_digest({path: array_hash(leaf) for path, leaf in leaves.items()})
        if found == base.digest:
            return traverse_util.unflatten_dict({**flat, **leaves}, sep="/")
        problems.append(f"{place} gives {found}")
    raise base.refusal("; ".join(problems) or "nothing is left at that place", str(run))


def _origins(
    run: pathlib.Path, base: Base, about: Mapping[str, Any]
) -> Iterator[tuple[str, Callable[[], PretrainedSource | None]]]:
    """What the base may be made from, each with its name."""
    if base.init == "scratch":
        yield "the seed", lambda: None
        return
    model = about["config"].get("model")
    if not isinstance(model, dict) or "family" not in model:
        raise _untold(run, "config")
    for place in places_of_source(run, base.source):
        yield place, functools.partial(open_source_of_run, place, model)


def _untold(run: pathlib.Path, name: str) -> InputError:
    what = f"the {name} in a delta checkpoint does not tell the model"
    return InputError(what, where=str(run), do="train the run again: its metadata was changed")
