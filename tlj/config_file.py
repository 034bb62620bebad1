"""Reading a configuration file: `configs/NAME.py:ARG` to what its `get_config(ARG)` returns and `sweep(ARG)` yields."""

from __future__ import annotations

import inspect
import pathlib
import re
import runpy
import traceback
from collections.abc import Callable, Mapping

from ml_collections import ConfigDict

from tlj.errors import InputError, nearest_name


def read_config_file(spec: str) -> tuple[pathlib.Path, Mapping]:
    """Runs a configuration file and calls its ``get_config``.

    Args:
      spec: ``configs/NAME.py`` or ``configs/NAME.py:ARG``; ``ARG`` goes to ``get_config`` as text.

    Returns:
      The path of the file, and the mapping that ``get_config`` returned.

    Raises:
      InputError: there is no such file, it fails, it has no ``get_config``, or it refuses the argument.
    """
    path, config = _call(spec, "get_config", lambda returned: returned)
    if not isinstance(config, (ConfigDict, Mapping)):
        raise InputError(
            f"get_config returned {type(config).__name__}", where=str(path), do="return an ml_collections.ConfigDict"
        )
    _check_names(config, str(path))
    return path, config


def read_sweep(spec: str) -> tuple[pathlib.Path, list[Mapping]]:
    """Runs a configuration file and takes what its ``sweep`` yields.

    Args:
      spec: as ``read_config_file`` takes it; ``ARG`` goes to ``sweep``, too.

    Returns:
      The path of the file, and the overrides of each member, nested or dotted, in its order.

    Raises:
      InputError: there is no such file, it fails, it has no ``sweep``, or that yields no overrides.
    """
    path, members = _call(spec, "sweep", list)
    for i, overrides in enumerate(members):
        where = f"{path}: sweep()[{i}]"
        if not isinstance(overrides, (ConfigDict, Mapping)):
            what = f"sweep yielded {type(overrides).__name__}, not overrides"
            raise InputError(what, where=where, do="yield a mapping, such as {'seed': 1}")
        _check_names(overrides, where)
    if not members:
        raise InputError("sweep yielded nothing", where=spec, do="yield the overrides of one member at least")
    return path, members


def _check_names(config: Mapping, where: str) -> None:
    for key in config:
        if not isinstance(key, str):
            raise InputError(f"{key!r} is no key, which are texts", where=where, do="see `tlj compare --help`")


def _call(spec: str, name: str, finish: Callable[[object], object]) -> tuple[pathlib.Path, object]:
    """Runs a configuration file, and returns its path and what its function of a name made of the argument."""
    path, argument = split_spec(spec)
    if not path.is_file():
        raise _missing_file(path)
    # runpy reads the source each time: an import would trust a cached copy of a file edited within the same second.
    namespace = _run(lambda: runpy.run_path(str(path), run_name="tlj_config"), path, spec)
    function = namespace.get(name)
    if not callable(function):
        near = nearest_name(name, [other for other, value in namespace.items() if callable(value)])
        raise InputError(f"no {name}", where=str(path), nearest=near, do=f"define {name}(arg=None) in it")
    arguments = () if argument is None else (argument,)
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError as error:
        given = f"{argument!r} after the colon" if arguments else "nothing after a colon"
        raise InputError(f"{name} does not take {given}: {error}", where=spec, do=f"see {path}") from error
    # A generator runs, and fails, while it is finished.
    return path, _run(lambda: finish(function(*arguments)), path, spec)


def split_spec(spec: str) -> tuple[pathlib.Path, str | None]:
    """Returns the path and the argument of ``path.py:argument``; a colon in a folder's name is part of the path."""
    match = re.fullmatch(r"(.+?\.py)(?::(.*))?", spec)
    path, argument = match.groups() if match else (spec.partition(":")[0], None)
    return pathlib.Path(path), argument or None


def _run(call: Callable[[], object], path: pathlib.Path, spec: str) -> object:
    """Runs code of the configuration file; what it raises is a mistake in the file or in its argument."""
    try:
        return call()
    except InputError as error:
        where = f"{spec}: {error.where}" if error.where else spec
        raise InputError(error.what, where=where, nearest=error.nearest, do=error.do) from error
    except Exception as error:
        line = getattr(error, "lineno", None)
        for frame in traceback.extract_tb(error.__traceback__):
            if frame.filename == str(path):
                line = frame.lineno
        what = str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"
        raise InputError(what, where=spec, do=f"see {path}" + (f", line {line}" if line else "")) from error


def _missing_file(path: pathlib.Path) -> InputError:
    if path.is_dir():
        names = sorted(file.name for file in path.glob("*.py"))
        return InputError("a folder, not a file", where=str(path), do=f"use one of {', '.join(names) or 'its files'}")
    folder = path.parent
    if not folder.is_dir():
        siblings = [file.name for file in folder.parent.iterdir() if file.is_dir()] if folder.parent.is_dir() else []
        near = nearest_name(folder.name, siblings)
        candidate = folder.parent / near / path.name if near else None
        nearest = str(candidate) if candidate and candidate.is_file() else None
        return InputError(f"no folder {folder}", where=str(path), nearest=nearest, do="give the path of a config file")
    names = sorted(file.name for file in folder.glob("*.py"))
    near = nearest_name(path.name, names) or nearest_name(path.stem, [name.removesuffix(".py") for name in names])
    nearest = str(folder / near) if near else None
    return InputError(
        "no such config file",
        where=str(path),
        nearest=nearest,
        do=f"use one of {', '.join(names)}" if names else "give the path of a config file",
    )
