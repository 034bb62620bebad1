"""What is to be measured: strategies and numbers, as the command line has them, and the runs that they stand for."""

from __future__ import annotations

from ml_collections import ConfigDict

from tlj import config as configuration
from tlj.benchmark.plan import weightless
from tlj.errors import InputError
from tlj.freezing.strategies import parse_strategy
from tlj.training.setup import Setup, set_up

REFERENCE, WHERE = "full", "--strategies"
_BATCH = "config.global_batch_size"


def parse_strategies(text: str | None, own: str) -> tuple[str, ...]:
    """Returns the strategies in a comma-separated list, each once.

    Args:
      text: for example ``"linear_probe,last_blocks:1"``; None takes the config's own strategy and ``full``.
      own: the config's own strategy.

    Raises:
      InputError: for an empty list or an unknown strategy.
    """
    if text is None:
        return tuple(dict.fromkeys([own, REFERENCE]))
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise InputError("no strategy", where=WHERE, do=f"write for example {WHERE}=linear_probe,full")
    for name in names:
        parse_strategy(name, where=WHERE)
    return names


def parse_counts(text: str | None, flag: str) -> tuple[int, ...]:
    """Returns the whole numbers in a comma-separated list, each once, in the order given.

    Args:
      text: for example ``"8,32"``; None is no number.
      flag: that holds it.

    Raises:
      InputError: for anything but whole numbers of at least 1.
    """
    if text is None:
        return ()
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words or not all(word.isascii() and word.isdecimal() and int(word) for word in words):
        what = f"{text!r} is not a list of whole numbers of at least 1"
        raise InputError(what, where=flag, do=f"write for example {flag}=1,2,4")
    return tuple(dict.fromkeys(int(word) for word in words))


def with_batch(config: ConfigDict, batch: int) -> ConfigDict:
    """Returns a config whose global batch is this one, whatever it was and however many devices there are."""
    return configuration.merge(config, {"global_batch_size": batch, "parallel": {"batch_per_device": 0}})


def setups_of(config: ConfigDict, strategies: str | None) -> dict[str, Setup]:
    """Returns the setup of each strategy, and of the reference after them where it is none of them.

    Args:
      config: of a run; no weights are read.
      strategies: as ``parse_strategies`` takes them.

    Raises:
      InputError: for anything in either that cannot be done.
    """
    resolved, base = weightless(config)
    setups = {}
    try:
        for strategy in parse_strategies(strategies, config.strategy):
            rules = resolved["rules"] if strategy.partition("+")[0] == "rules" else []
            changes = {"strategy": strategy, "init": "", "rules": rules}
            setups[strategy] = set_up({**resolved, **changes}, base, needs_source=False)
    except InputError as error:
        if strategies is None or error.where != "config.strategy":
            raise
        # A strategy that the model or the run cannot take was not named in the config.
        raise InputError(error.what, where=WHERE, nearest=error.nearest, do=error.do) from error
    if REFERENCE not in setups:
        # Settings of groups belong to the strategies that were asked for.
        plain = {**resolved, "strategy": REFERENCE, "init": "", "rules": [], "groups": {}}
        setups[REFERENCE] = set_up(plain, base, needs_source=False)
    return setups


def setups_by_batch(
    config: ConfigDict, strategies: str | None, batches: tuple[int, ...]
) -> dict[int, dict[str, Setup]]:
    """Returns ``setups_of`` a config by batch, all checked before any is measured.

    Args:
      config: of a run.
      strategies: as ``parse_strategies`` takes them.
      batches: global batches; none is the config's own.

    Raises:
      InputError: for anything in them that cannot be done.
    """
    if not batches:
        setups = setups_of(config, strategies)
        return {next(iter(setups.values())).config["global_batch_size"]: setups}
    try:
        return {batch: setups_of(with_batch(config, batch), strategies) for batch in batches}
    except InputError as error:
        if error.where != _BATCH:
            raise
        raise InputError(error.what, where="--batches", nearest=error.nearest, do=error.do) from error
