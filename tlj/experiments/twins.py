"""A twin differs in its strategy and its init, and in what is declared; anything else is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tlj import config as configuration
from tlj.errors import InputError

# Rules are what the strategy `rules` is.
ALWAYS_DIFFER = frozenset({"strategy", "init", "rules"})


def twin_diff(
    arm_config: Mapping[str, Any], twin_config: Mapping[str, Any], declared: Mapping[str, Any], *, where: str
) -> dict[str, list[Any]]:
    """Returns what differs between an arm's resolved config and its twin's, and checks that it may.

    Args:
      arm_config: resolved config of one run of the arm.
      twin_config: resolved config of the twin's run of the same budget and seed.
      declared: the declared differences of the arm and of its twin, nested, by config key.
      where: names the pair in an error.

    Returns:
      ``{dotted key: [twin's value, arm's value]}``.

    Raises:
      InputError: listing every other difference.
    """
    difference = configuration.diff(twin_config, arm_config)
    allowed = ALWAYS_DIFFER | set(configuration.flatten(declared))
    confounds = [f"{key} ({twin!r} against {arm!r})" for key, (twin, arm) in difference.items() if key not in allowed]
    if confounds:
        raise InputError(
            f"arm and twin differ in more than strategy and init: {', '.join(confounds)}",
            where=where,
            do="make them equal, or declare the difference in config.declared",
        )
    return difference
