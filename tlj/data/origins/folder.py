"""Images in folders, ``folder:PATH``: ``class/image``, or ``split/class/image``."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Iterable, Sequence

import numpy as np

from tlj.data.decode import SUFFIXES
from tlj.data.examples import Examples
from tlj.data.origins.index_cache import hash_files
from tlj.data.origins.labels import declared_classes
from tlj.data.origins.walk import File, walk
from tlj.data.settings import DataSettings, Problems
from tlj.errors import InputError, nearest_name, unknown_name
from tlj.named_paths import named_path

_WHERE = "config.data.source"
_LAYOUTS = {2: "class/image", 3: "split/class/image"}
_SPLITS = frozenset(("train", "training", "test", "testing", "val", "valid", "validation", "dev"))


@dataclasses.dataclass(frozen=True, eq=False)
class Files:
    """The content of files below a folder, read when asked for (``tlj.data.examples.Items``).

    Attributes:
      root: the folder, from the root of the file system, so that it is found from anywhere.
      shown: the folder as the user named it.
      paths: of the files below it.
    """

    root: str
    shown: str
    paths: Sequence[str]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> bytes:
        try:
            # Unbuffered, and not through pathlib: a quarter less time for a file that is in memory.
            with open(os.path.join(self.root, self.paths[index]), "rb", buffering=0) as file:
                return file.read()
        except OSError as error:
            raise InputError(
                f"the file cannot be read: {error.strerror}",
                where=self.where(index),
                do="leave the data as it is while it is in use",
            ) from error

    def where(self, index: int) -> str:
        """Returns the path of a file."""
        return os.path.join(self.shown, self.paths[index])


def open_folder(settings: DataSettings, argument: str) -> Examples:
    """Opens a folder of images; splits are its ``parts``.

    Examples are in the order of a hash of their ids, not of their names: so ``train[:80%]`` takes of every class and of
    every photographer, where names in order would leave out whole classes; and the order of those that were there does
    not change when files are added.

    Args:
      settings: the names of the classes, and what becomes of what cannot be read.
      argument: path of the folder, from the current one; ``~`` is the home folder.

    Raises:
      InputError: for a folder that is not there or not laid out so, and for what is not an image in it.
    """
    root = _existing(argument)
    files, folders = walk(str(root), max(_LAYOUTS))
    depth = _depth(files, str(root))
    problems = Problems(settings)
    images = sorted(_images(files, depth, str(root), problems), key=lambda file: _place(file.path))
    classes = _classes(settings, images, [folder for folder in folders if folder.count("/") == depth - 2], str(root))
    label = {name: index for index, name in enumerate(classes)}
    splits = np.array([file.path.split("/")[0] for file in images]) if depth == 3 else np.array([])
    if depth == 3 and (empty := {folder for folder in folders if "/" not in folder} - set(splits)):
        raise InputError("the split has no image", where=str(root / min(empty)), do="remove the folder, or fill it")
    hashed = hash_files(str(root), sorted(images))
    return Examples(
        name=settings.source,
        kind="images",
        classes=classes,
        labels=np.array([label[_class(file.path)] for file in images], np.int32),
        ids=tuple(file.path for file in images),
        items=Files(os.path.abspath(root), str(root), tuple(file.path for file in images)),
        digest=hashlib.sha256(f"{classes} {hashed.digest}".encode()).hexdigest()[:16],
        parts={str(name): np.flatnonzero(splits == name) for name in np.unique(splits)},
        skipped=tuple(problems.skipped),
        facts={"layout": _LAYOUTS[depth], "hash_of": hashed.hash_of},
    )


def _existing(argument: str) -> pathlib.Path:
    """The folder of that name, or an error with the nearest one that there is."""
    root = named_path(argument, _WHERE)
    if argument and root.is_dir():
        return root
    if not argument or root.exists():
        what = f"{argument!r} is a file, not a folder" if argument else "no folder is named"
        raise InputError(what, where=_WHERE, do="give folder:PATH, with class/image or split/class/image below it")
    parent = next(folder for folder in root.parents if folder.is_dir())
    siblings = []
    with contextlib.suppress(OSError):
        siblings = [path.name for path in parent.iterdir() if path.is_dir()]
    nearest = nearest_name(root.relative_to(parent).parts[0], siblings)
    raise InputError(
        f"there is no folder {argument!r}",
        where=_WHERE,
        nearest=str(parent / nearest) if nearest else None,
        do="give the path of a folder, from the current one",
    )


def _is_image(file: File) -> bool:
    return os.path.splitext(file.path)[1].lower() in SUFFIXES


def _depth(files: Iterable[File], root: str) -> int:
    """Number of names in the path of every image."""
    first = {}
    for file in files:
        if file.depth not in first and _is_image(file):
            first[file.depth] = file.path
    if 2 in first and 3 in first:
        raise InputError(
            f"images lie as class/image and as split/class/image, for example {first[2]} and {first[3]}",
            where=root,
            do="lay all of them out alike",
        )
    if not {2, 3} & first.keys():
        where = os.path.join(root, first[1]) if first else root
        what = "the image lies in no folder of a class" if first else "there is no image in the folder"
        raise InputError(what, where=where, do=f"lay images out as {' or '.join(_LAYOUTS.values())}")
    return 2 if 2 in first else 3


def _images(files: Iterable[File], depth: int, root: str, problems: Problems) -> list[File]:
    """Those of the files that are images to all appearances; the others are problems."""
    images = []
    for file in files:
        reason, do = file.problem, "mend or remove it"
        if file.depth != depth:
            reason, do = f"the file does not lie as {_LAYOUTS[depth]}, as the images do", "move it away"
        elif not _is_image(file):
            reason, do = "its name does not end like that of an image, such as .jpg or .png", "rename or remove it"
        if reason:
            problems.add(os.path.join(root, file.path), reason, do)
        else:
            images.append(file)
    return images


def _place(path: str) -> bytes:
    return hashlib.blake2b(path.encode(), digest_size=16).digest()


def _class(path: str) -> str:
    return path.split("/")[-2]


def _classes(settings: DataSettings, images: Iterable[File], folders: Iterable[str], root: str) -> tuple[str, ...]:
    """Names of the classes in order: as declared, or sorted, whole numbers by their value."""
    filled = {_class(file.path) for file in images}
    for folder in folders:
        if os.path.basename(folder) not in filled:
            raise InputError("the class has no image", where=os.path.join(root, folder), do="fill or remove the folder")
    if declared := declared_classes(settings):
        for name in sorted(filled.difference(declared)):
            raise unknown_name("class", name, declared, where=f"{root} and config.data.classes")
        for name in declared:
            if name not in filled:
                nearest = nearest_name(name, filled)
                raise InputError(f"no folder {name!r} below {root}", where="config.data.classes", nearest=nearest)
        return declared
    if known := settings.known_classes:
        for name in sorted(filled.difference(known)):
            raise unknown_name("class", name, known, where=root)
        return known
    if len(filled) < 2:
        raise InputError(
            f"there is only one class, {min(filled)!r}", where=root, do="give a folder with one folder for each class"
        )
    if {name.lower() for name in filled} <= _SPLITS:
        raise InputError(
            f"{' and '.join(sorted(filled))} would be the classes, and are names of splits",
            where=root,
            do="lay images out as split/class/image",
        )
    numbers = all(name.isdecimal() for name in filled)
    return tuple(sorted(filled, key=lambda name: (int(name), name) if numbers else (0, name)))
