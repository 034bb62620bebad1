"""Arms: one way of training each, written ``strategy``, ``strategy@init`` or ``NAME=strategy@init``."""

from __future__ import annotations

import dataclasses
import re

from tlj.config import arm_name
from tlj.errors import InputError
from tlj.freezing.strategies import parse_strategy, resolve_init

# Most file systems take names of 255.
MOST_BYTES = 200


@dataclasses.dataclass(frozen=True)
class Arm:
    """One way of training.

    Attributes:
      name: its own where the config gave one, or as the config wrote it, for example ``"full@mean_var"``.
      strategy: for example ``"last_blocks:1"``.
      init: resolved, for example ``"pretrained"``.
    """

    name: str
    strategy: str
    init: str

    @property
    def folder(self) -> str:
        """The name in paths, without characters that file systems and buckets object to."""
        return re.sub(r"[^\w.+,-]", "-", self.name.replace("@", "-from-"))


def parse_arm(text: str, *, where: str = "config.arms") -> Arm:
    """Returns the arm that a string names.

    Args:
      text: ``strategy`` or ``strategy@init``, or either after ``NAME=``.
      where: the config key, for the error.

    Raises:
      InputError: for an unknown strategy or init, a pair that makes no sense, or a name that is empty or of dots alone.

    Example:
      >>> parse_arm("full@mean_var")
      Arm(name='full@mean_var', strategy='full', init='mean_var')
      >>> parse_arm("warm=lp_ft:60")
      Arm(name='warm', strategy='lp_ft:60', init='pretrained')
    """
    own, named, rest = text.rpartition("=")
    if named and not own.strip():
        raise InputError(f"no name before the = of {text!r}", where=where, do=f"write {rest!r} or 'NAME={rest}'")
    if named and not own.strip().strip("."):
        raise InputError(f"{own.strip()!r} names no folder", where=where, do="use letters or digits in the name")
    name, at, init = rest.partition("@")
    if at and not init:
        raise InputError(f"no init after the @ of {text!r}", where=where, do=f"write {name!r} or {name + '@scratch'!r}")
    strategy = parse_strategy(name, where=where)
    arm = Arm(arm_name(text), name, resolve_init(strategy, init, where=where))
    if len(arm.folder.encode()) > MOST_BYTES:
        what = f"a name of {len(arm.name)} characters, {arm.name[:20]!r} and so on, is too long for a folder"
        raise InputError(what, where=where, do="give it a shorter one, NAME=ARM")
    return arm
