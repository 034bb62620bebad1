"""The members of a sweep: one resolved config for each overrides, in a folder named by what the config says."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from tlj import config as configuration
from tlj.config_file import read_sweep
from tlj.errors import InputError, nearest_name, unknown_name
from tlj.experiments.grid import parse_arms
from tlj.freezing.strategies import parse_strategy, resolve_init
from tlj.named_paths import check_workdir
from tlj.progress import say
from tlj.training.identity import run_hash

VERBS = ("train", "compare")

_TEXT = '''"""A member of a sweep: its config is the defaults but for this."""


def get_config(arg=None):
    return {{
{changes}    }}
'''


@dataclasses.dataclass(frozen=True, eq=False)
class Member:
    """One member of a sweep.

    Attributes:
      verb: ``"train"`` or ``"compare"``.
      overrides: what the sweep set for it, by dotted key, as the config has it.
      config: resolved, with its folder as the workdir.
      hash: of the config, which names the folder.
    """

    verb: str
    overrides: dict[str, Any]
    config: ConfigDict
    hash: str

    @property
    def folder(self) -> pathlib.Path:
        """Of its run or comparison."""
        return pathlib.Path(self.config.workdir)

    @property
    def file(self) -> pathlib.Path:
        """Its configuration file."""
        return self.folder / "member.py"

    @property
    def log(self) -> pathlib.Path:
        """What it printed."""
        return self.folder / "log.txt"

    @property
    def words(self) -> list[str]:
        """The words after ``tlj`` that train it, in one process whatever a cluster says."""
        return [self.verb, f"--config={self.file}", f"--workdir={self.folder}", "--single-process"]

    @property
    def about(self) -> str:
        """Names it in a line of progress."""
        return ", ".join(f"{key}={value}" for key, value in self.overrides.items()) or "the config itself"

    @property
    def file_text(self) -> str:
        """The text of its configuration file, which later changes of the sweep's own file do not reach."""
        changes = configuration.diff(configuration.default(), self.config)
        idle = configuration.ARRANGEMENT if self.verb == "train" else ("workdir",)
        values = {key: value for key, (_, value) in changes.items() if key.partition(".")[0] not in idle}
        lines = [f"        {key!r}: {value!r},\n" for key, value in values.items()]
        return _TEXT.format(changes="".join(lines))


def read_members(spec: str, overrides: Sequence[str], verb: str) -> tuple[pathlib.Path, list[Member]]:
    """Returns the workdir and the members of the sweep that a configuration file declares, in its order, each once.

    Args:
      spec: ``configs/NAME.py`` or ``configs/NAME.py:ARG``, with ``get_config`` and ``sweep``.
      overrides: each ``a.b=value``, of the command line: for all members.
      verb: what each is, ``"train"`` or ``"compare"``.

    Raises:
      InputError: for anything that can be told from the configs alone; where several members are wrong, all but the
        last are told of before.
    """
    base = configuration.load(spec, overrides)
    # A shell leaves the ~ of --workdir=~/runs as it is.
    base.workdir = os.path.expanduser(base.workdir)
    check_workdir(base.workdir, "sweep")
    path, swept = read_sweep(spec)
    members, errors = {}, []
    for i, changes in enumerate(swept):
        where = f"{path}: sweep()[{i}]"
        try:
            _check_keys(changes, overrides, verb, where)
            member = _member(base, changes, verb, where)
        except InputError as error:
            errors.append(error)
        else:
            if (same := members.setdefault(member.hash, member)) is not member:
                say(f"tlj: {where} makes the run of {same.about}; it is trained once")
    if errors:
        for error in errors[:-1]:
            say(f"tlj: {error}")
        raise errors[-1]
    return pathlib.Path(base.workdir), list(members.values())


def _check_keys(changes: Mapping[str, Any], overrides: Sequence[str], verb: str, where: str) -> None:
    """Checks that what a sweep sets makes a difference, and that the command line does not set it too."""
    given = {override.partition("=")[0] for override in overrides}
    for key in configuration.flatten(changes):
        top = key.partition(".")[0]
        if key == "workdir":
            raise InputError("a member's folder follows from its config", where=f"{where}.{key}", do="leave it out")
        if key in given:
            raise InputError(f"{where} sets it, too", where=f"--config.{key}", do="leave one of them out")
        if verb == "train" and top in configuration.ARRANGEMENT:
            near = nearest_name(top, ("seed", "label_budget", "strategy", "init"))
            do = "set a key of the run, or give --verb=compare"
            raise InputError("changes nothing in one run", where=f"{where}.{key}", nearest=near, do=do)


def _member(base: ConfigDict, changes: Mapping[str, Any], verb: str, where: str) -> Member:
    config = configuration.merge(base, changes, where=where)
    arms = {configuration.arm_name(arm) for arm in config.arms}
    known = arms | {configuration.arm_name(arm) for arm in base.arms}
    for arm in list(config.declared):
        if arm not in known:
            raise unknown_name("arm", arm, known, where=f"{where}.declared.{arm}")
        if arm not in arms:
            # Idle, as where the command line takes arms out; the member's own file would be refused for it.
            del config.declared[arm]
    try:
        configuration.validate(config)
        _check_names(config, verb)
    except InputError as error:
        raise InputError(error.what, where=f"{where}: {error.where}", nearest=error.nearest, do=error.do) from error
    own = configuration.to_dict(config) | {"workdir": ""}
    name = run_hash(configuration.run_config(config)) if verb == "train" else configuration.digest(own)
    config.workdir = str(pathlib.Path(base.workdir, "members", name))
    resolved = configuration.flatten(configuration.to_dict(config))
    return Member(verb, {key: resolved[key] for key in configuration.flatten(changes)}, config, name)


def _check_names(config: ConfigDict, verb: str) -> None:
    """Checks the names that rooms further on own, as far as it takes neither data nor weights."""
    if verb == "compare":
        parse_arms(config)
    else:
        resolve_init(parse_strategy(config.strategy), config.init)
