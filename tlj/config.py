"""The resolved configuration: defaults, a configuration file over them, overrides over both.

`ml_collections.config_flags` reads the same command line, but its errors name neither the nearest key nor what to do,
it cannot take `--config.seeds=0,1,2`, and it keeps global flags. So the reading is here, on top of `ConfigDict`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

from ml_collections import ConfigDict, FieldReference

from tlj.config_file import read_config_file
from tlj.config_keys import FREE, GROUP_KEYS, KEYS, SPACE
from tlj.config_kinds import parse_literal, spell
from tlj.errors import InputError, nearest_name, unknown_name

_NAMES = (*KEYS, *FREE)
_SCHEMA = {**KEYS, **{f"groups.*.{name}": key for name, key in GROUP_KEYS.items()}, "tuning.space.*": SPACE}

# Keys that say how the runs of a comparison are arranged and judged, and change nothing in one run.
ARRANGEMENT = (
    *("workdir", "seeds", "most_seeds", "label_budgets", "arms", "twin", "declared", "pretrain", "parities"),
    *("metric", "margin", "tuning", "exit", "prices", "screening", "experiments"),
)


def default() -> ConfigDict:
    """Returns the default configuration: type-safe, and locked but for the groups that take any key.

    Example::

      config = tlj.config.default()
      config.steps = 300
      config.model.settings = dict(width=64, depth=4)
    """
    config = ConfigDict()
    for name, key in KEYS.items():
        # A plain field keeps the type of its first value, and "all" would refuse 50.
        _write(config, name, FieldReference(key.default, object) if key.kind.mixed else key.default)
    for name in FREE:
        _write(config, name, ConfigDict())
    return _lock(config)


def load(spec: str | None, overrides: Sequence[str] = ()) -> ConfigDict:
    """Returns the resolved configuration of a file and of overrides, checked.

    Args:
      spec: ``configs/NAME.py`` or ``configs/NAME.py:ARG``. The file holds ``get_config(arg=None)``, which returns a
        ConfigDict: all of ``default()``, changed, or only the keys that differ from it. None is the defaults alone.
      overrides: each ``a.b=value``, later ones over earlier ones. A list may be written ``0,1,2`` or ``(0,1,2)``.

    Returns:
      The configuration, locked.

    Raises:
      InputError: the file, its argument, a key or a value cannot be used.
    """
    path, changes = read_config_file(spec) if spec is not None else ("", {})
    config = merge(default(), changes, where=f"{path}: config")
    arms = {arm_name(arm) for arm in config.arms}
    config = merge(config, _parse_overrides(overrides, config))
    arms |= {arm_name(arm) for arm in config.arms}
    for arm in config.declared:
        # An override may take arms out: what the file declares for those is then idle, not a mistake.
        if arm not in arms:
            raise unknown_name("arm", arm, arms, where=f"config.declared.{arm}")
    validate(config)
    return config


def arm_name(arm: str) -> str:
    """Returns the name of an arm in ``config.arms``: what stands before its ``=``, or all of it."""
    own, named, _ = arm.rpartition("=")
    return own.strip() if named else arm


def validate(config: ConfigDict) -> None:
    """Checks every key and value, and that the twin is one of the arms.

    Strategies, data sources and model settings are checked by the rooms that own them.

    Raises:
      InputError: a key is unknown, or a value is of the wrong type or out of range.
    """
    merge(default(), config)
    arms = [arm_name(arm) for arm in config.arms]
    if len(set(arms)) < len(arms):
        twice = next(arm for arm in arms if arms.count(arm) > 1)
        raise InputError(
            f"two arms are named {twice!r}", where="config.arms", do="give each a name of its own, NAME=ARM"
        )
    if config.twin not in arms:
        raise InputError(
            f"the twin {config.twin!r} is not one of the arms {', '.join(arms)}",
            where="config.twin",
            nearest=nearest_name(config.twin, arms),
            do=f"add {config.twin} to config.arms, or set config.twin to one of them",
        )


def merge(config: ConfigDict, overrides: Mapping, *, where: str = "config") -> ConfigDict:
    """Returns a new configuration: ``config`` with ``overrides`` over it.

    ``merge(default(), to_dict(config))`` gives ``config`` back, also when the dict went through a JSON file.

    Args:
      config: the configuration to start from; it is left as it is.
      overrides: keys and values, nested or dotted, as in ``config.pretrain`` and ``config.declared[arm]``. A value may
        be text, as on the command line.
      where: the name of ``overrides`` in error messages.

    Raises:
      InputError: a key is unknown, or a value is of the wrong type or out of range.
    """
    merged = default().unlock()
    for changes, prefix in ((config, "config"), (overrides, where)):
        for name, value in flatten(changes).items():
            try:
                _write(merged, name, _convert(name, value, prefix))
            except TypeError as error:  # ConfigDict: the value of a free key changed its type
                what = f"{value!r} is not of the type that this key has"
                raise InputError(what, where=f"{prefix}.{name}", do="keep the type") from error
    return _lock(merged)


def run_config(config: ConfigDict, **values: object) -> dict:
    """Returns the resolved configuration of one run: ``config`` less its arrangement, with the run's own values.

    Args:
      config: of a comparison.
      **values: keys of the top level that the run has for itself, for example ``strategy`` and ``seed``.
    """
    nested = {**to_dict(config), **values}
    return {name: value for name, value in nested.items() if name not in ARRANGEMENT}


def to_dict(config: Mapping) -> dict:
    """Returns the configuration as nested dicts that JSON can hold: tuples become lists."""
    return json.loads(json.dumps(_plain(config)))


def flatten(config: Mapping) -> dict[str, object]:
    """Returns the leaves by dotted key: ``{"a": {"b": 1}}`` gives ``{"a.b": 1}``; an empty group has no leaf."""
    leaves = {}
    for name, value in _plain(config).items():
        if isinstance(value, Mapping):
            leaves.update({f"{name}.{inner}": leaf for inner, leaf in flatten(value).items()})
        else:
            leaves[name] = value
    return leaves


def diff(a: Mapping, b: Mapping) -> dict[str, list]:
    """Returns ``{dotted key: [value in a, value in b]}`` where they differ; None stands for a key that is absent."""
    left, right = flatten(to_dict(a)), flatten(to_dict(b))
    # Compared as JSON, so that 1, 1.0 and True stay apart, as they do in the digest.
    same = {name for name in left.keys() & right.keys() if _canonical(left[name]) == _canonical(right[name])}
    return {name: [left.get(name), right.get(name)] for name in sorted((left.keys() | right.keys()) - same)}


def digest(config: Mapping) -> str:
    """Returns twelve hex digits of the SHA-256 of the canonical JSON: the same for the same content in any order."""
    return hashlib.sha256(_canonical(_plain(config)).encode()).hexdigest()[:12]


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _plain(config: Mapping) -> Mapping:
    return config.to_dict() if isinstance(config, ConfigDict) else config


def _lock(config: ConfigDict) -> ConfigDict:
    config.lock()
    for name in FREE:
        config[name].unlock()
    return config


def _write(config: ConfigDict, name: str, value: object) -> None:
    *groups, last = name.split(".")
    for group in groups:
        if group not in config:
            config[group] = ConfigDict()
        config = config[group]
    # A range may give way to a list of values.
    is_range = groups[-2:] and _schema_name(name) == "tuning.space.*"
    config[last] = FieldReference(value, object) if is_range else value


def _parse_overrides(overrides: Sequence[str], config: ConfigDict) -> dict[str, object]:
    """Returns the values by dotted key; text, but for free keys, whose type only the text and the old value tell."""
    current, values = flatten(config), {}
    for override in overrides:
        name, equals, text = override.partition("=")
        if not equals:
            raise InputError("no value", where=f"config.{name}", do=f"write --config.{name}=VALUE")
        free = _is_free(name) and not isinstance(current.get(name), str)
        values[name] = parse_literal(text) if free else text
    return values


def _schema_name(name: str) -> str:
    """Returns the key that fixes the kind: ``pretrain`` and ``declared.ARM`` hold overrides of the ordinary keys."""
    if name.startswith("pretrain."):
        name = name.split(".", 1)[1]
    elif name.startswith("declared.") and name.count(".") > 1:
        name = name.split(".", 2)[2]
    first, *rest = name.split(".")
    if name.startswith("tuning.space.") and name.removeprefix("tuning.space.") in KEYS:
        return "tuning.space.*"
    return f"groups.*.{rest[1]}" if first == "groups" and len(rest) == 2 and rest[0] else name


def _is_free(name: str) -> bool:
    return _schema_name(name).startswith(("model.settings.", "model.preprocessing.")) and all(name.split("."))


def _convert(name: str, value: object, prefix: str) -> object:
    where, schema_name = f"{prefix}.{name}", _schema_name(name)
    if _is_free(name):
        return _free_value(value, where)
    if schema_name not in _SCHEMA:
        raise _unknown_key(schema_name, where)
    key = _SCHEMA[schema_name]
    try:
        return key.kind.convert(value)
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{value!r} is not {key.kind.expected}",
            where=where,
            nearest=nearest_name(str(value), key.kind.names),
            do=f"the default is {spell(key.default) or 'empty'}",
        ) from error


def _free_value(value: object, where: str) -> object:
    """Returns the value with lists as tuples, so that it is the same before and after a JSON file."""
    if isinstance(value, (list, tuple)):
        return tuple(_free_value(item, where) for item in value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise InputError(f"{value!r} is not text, a number, true, false or a list of them", where=where, do="mend it")


def _unknown_key(name: str, where: str) -> InputError:
    if name.startswith("groups.*."):
        last, do = name.rpartition(".")[2], f"use one of {', '.join(GROUP_KEYS)}"
        return InputError(f"a group has no {last!r}", where=where, nearest=nearest_name(last, GROUP_KEYS), do=do)
    is_named = name.startswith(("declared.", "groups.")) and name.count(".") == 1
    if is_named or any(known == name or known.startswith(f"{name}.") for known in _NAMES):
        return InputError("a group of keys, not a value", where=where, do=f"set one of its keys, {where}.KEY")
    group, _, last = name.rpartition(".")
    start = f"{group}." if any(known.startswith(f"{group}.") for known in _NAMES) else ""
    siblings = {known.removeprefix(start).split(".")[0] for known in _NAMES if known.startswith(start)}
    elsewhere = next((known for known in _NAMES if known.split(".")[-1] == last), None)
    sibling = nearest_name(last if start else name, siblings)
    nearest = elsewhere or (f"{start}{sibling}" if sibling else None if start else nearest_name(name, _NAMES))
    do = f"use one of {', '.join(sorted(siblings))}" if start else "`tlj compare --help` lists the keys"
    return InputError(f"unknown key {name!r}", where=where, nearest=nearest, do=do)
