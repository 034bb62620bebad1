"""Arms: one way of training each, written ``strategy`` or ``strategy@init``."""

from __future__ import annotations

import dataclasses

from tlj.errors import InputError
from tlj.freezing.strategies import parse_strategy, resolve_init


@dataclasses.dataclass(frozen=True)
class Arm:
    """One way of training.

    Attributes:
      name: as the config wrote it, for example ``"full@mean_var"``.
      strategy: for example ``"last_blocks:1"``.
      init: resolved, for example ``"pretrained"``.
    """

    name: str
    strategy: str
    init: str

    @property
    def folder(self) -> str:
        """The name in paths, without characters that file systems and buckets object to."""
        return self.name.replace(":", "-").replace("@", "-from-")


def parse_arm(text: str, *, where: str = "config.arms") -> Arm:
    """Returns the arm that a string names.

    Args:
      text: ``strategy`` or ``strategy@init``.
      where: the config key, for the error.

    Raises:
      InputError: for an unknown strategy or init, or a pair that makes no sense.

    Example:
      >>> parse_arm("full@mean_var")
      Arm(name='full@mean_var', strategy='full', init='mean_var')
    """
    name, at, init = text.partition("@")
    if at and not init:
        raise InputError(f"no init after the @ of {text!r}", where=where, do=f"write {name!r} or {name + '@scratch'!r}")
    strategy = parse_strategy(name, where=where)
    return Arm(text, name, resolve_init(strategy, init, where=where))
