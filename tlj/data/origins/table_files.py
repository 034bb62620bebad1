"""The files of a table: one, or the splits in a folder, each in one file or in numbered shards."""

from __future__ import annotations

import pathlib
import re

from tlj.errors import InputError, nearest_name
from tlj.named_paths import named_path

# As the Hugging Face hub names them.
_SHARD = re.compile(r"(?P<part>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})")


def table_files(argument: str, kind: str) -> list[tuple[str, pathlib.Path]]:
    """Returns the files of a table, each with its split, those of a split in order; a single file has no split.

    Args:
      argument: the path of a file, or of a folder whose files of this kind are splits by name.
      kind: suffix of the files, without a dot.

    Raises:
      InputError: for a path that does not exist, a folder without such files, or shards that are missing.
    """
    path = named_path(argument, "config.data.source")
    if not argument or not path.exists():
        siblings = [entry.name for entry in path.parent.iterdir()] if argument and path.parent.is_dir() else []
        raise InputError(
            f"{argument!r} does not exist" if argument else "no path is given",
            where="config.data.source",
            nearest=nearest_name(path.name, siblings),
            do=f"give {kind}:PATH, a file or a folder of files NAME.{kind}",
        )
    if path.is_file():
        return [("", path)]
    if not path.is_dir():
        # Such as a pipe, which could be read only once.
        raise InputError("is neither a file nor a folder", where=str(path), do=f"give {kind}:PATH of a file on a disk")
    entries = sorted(entry for entry in path.iterdir() if entry.is_file() and not entry.name.startswith("."))
    files = [entry for entry in entries if entry.suffix.lower() == f".{kind}"]
    if not files:
        found = f"it holds {', '.join(entry.name for entry in entries[:5])}" if entries else "it holds no files"
        raise InputError(
            f"the folder has no file NAME.{kind}; {found}", where=str(path), do="give the folder of the files"
        )
    return _in_parts(files)


def _in_parts(files: list[pathlib.Path]) -> list[tuple[str, pathlib.Path]]:
    shards: dict[str, list[tuple[pathlib.Path, re.Match | None]]] = {}
    for file in files:
        match = _SHARD.fullmatch(file.stem)
        shards.setdefault(match["part"] if match else file.stem, []).append((file, match))
    for part, held in shards.items():
        places = [(int(match["number"]), int(match["count"])) if match else (0, 1) for _, match in held]
        if places != [(number, places[0][1]) for number in range(places[0][1])]:
            raise InputError(
                f"the split {part!r} is not in one file or in all shards of one number: "
                f"{', '.join(file.name for file, _ in held[:4])}",
                where=str(files[0].parent),
                do="complete it, or remove what does not belong to it",
            )
    return [(part, file) for part, held in shards.items() for file, _ in held]
