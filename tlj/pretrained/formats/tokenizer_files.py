"""The files of a tokenizer: found beside a checkpoint, carried by a run, and opened without anything being executed."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import tempfile
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tlj.errors import InputError, unknown_name
from tlj.pretrained.identity import content_identity

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_CONFIG = "tokenizer_config.json"
# Either of the first two holds the vocabulary.
NAMES = ("tokenizer.json", "vocab.txt", _CONFIG, "special_tokens_map.json", "added_tokens.json")

# What a checkpoint may call its tokenizer, and the class of transformers that it is.
_WORDPIECE, _AS_THE_FILE_SAYS = "BertTokenizer", "PreTrainedTokenizerFast"
_CLASSES = {
    **{f"{name}Tokenizer{end}": _WORDPIECE for name in ("Bert", "DistilBert", "Electra") for end in ("", "Fast")},
    **dict.fromkeys(("PreTrainedTokenizerFast", "TokenizersBackend"), _AS_THE_FILE_SAYS),
}
# Of tokenizer_config.json, all that says how text becomes ids. Others name files or code, which may lie anywhere.
_SETTINGS = {
    *("do_lower_case", "tokenize_chinese_chars", "strip_accents", "do_basic_tokenize", "never_split"),
    *("unk_token", "sep_token", "pad_token", "cls_token", "mask_token", "bos_token", "eos_token"),
    *("additional_special_tokens", "extra_special_tokens", "added_tokens_decoder", "split_special_tokens"),
    *("model_max_length", "model_input_names", "padding_side", "truncation_side", "clean_up_tokenization_spaces"),
}

# By identity, the folder that was made last in this process.
_carried: dict[str, pathlib.Path] = {}


def find_tokenizer_files(directory: pathlib.Path) -> dict[str, pathlib.Path]:
    """Returns the files of a tokenizer in a directory, by name; empty where there are none."""
    return {name: directory / name for name in NAMES if (directory / name).is_file()}


def check_tokenizer_files(files: Mapping[str, pathlib.Path], identity: str, where: str) -> None:
    """Refuses the files of another tokenizer than the one that a model was made with.

    Args:
      files: by name.
      identity: ``content_identity`` of the right ones; empty where the model has no tokenizer.
      where: what holds the files, for the error.

    Raises:
      InputError: where they are missing or another.
    """
    found = content_identity(files.values()) if files else ""
    if identity and found != identity:
        what = f"have the hash {found}" if files else "are missing"
        raise InputError(
            f"the files of the tokenizer {what}, those of the model have {identity}",
            where=where,
            do="put back the model's own files",
        )


def carry_tokenizer_files(files: Mapping[str, pathlib.Path], identity: str, folder: pathlib.Path) -> None:
    """Copies the files of a tokenizer to a folder that is there whole or not at all, whatever was there before.

    Where this process has made such a folder of the same content, its files are linked: of a thousand small runs they
    would be nearly all that is on the disk.

    Args:
      files: by name.
      identity: ``content_identity`` of the files, as it was when the model was read.
      folder: to be made.

    Raises:
      InputError: where the files have changed since.
    """
    temporary = folder.with_name(folder.name + ".tmp")
    for leftover in (temporary, folder):
        if leftover.is_dir() and not leftover.is_symlink():
            shutil.rmtree(leftover)
        else:
            leftover.unlink(missing_ok=True)
    temporary.mkdir(parents=True)
    if not _are_linked(files, identity, temporary):
        for name, file in files.items():
            (temporary / name).unlink(missing_ok=True)
            shutil.copyfile(file, temporary / name)
        check_tokenizer_files(find_tokenizer_files(temporary), identity, str(next(iter(files.values())).parent))
    os.replace(temporary, folder)
    _carried[identity] = folder


def _are_linked(files: Mapping[str, pathlib.Path], identity: str, folder: pathlib.Path) -> bool:
    """Links the files of an earlier folder, and tells whether they are there and what they should be."""
    if identity not in _carried or content_identity(files.values()) != identity:
        return False
    try:
        for name in files:
            os.link(_carried[identity] / name, folder / name)
        return content_identity(find_tokenizer_files(folder).values()) == identity
    except OSError:
        # It was removed, or the file system has no links.
        return False


def open_tokenizer(files: Mapping[str, pathlib.Path]) -> PreTrainedTokenizerBase:
    """Returns transformers' tokenizer of exactly these files: from no other file, no network and no code of theirs.

    Args:
      files: by name, as ``find_tokenizer_files`` gives them.

    Raises:
      InputError: where there is no tokenizer, one of a class that tlj does not open, or a broken file.
    """
    if not {"tokenizer.json", "vocab.txt"} & set(files):
        raise InputError(
            "no tokenizer travels with this model",
            where=str(next(iter(files.values())).parent) if files else "",
            do="put tokenizer.json or vocab.txt beside its weights, or give it token ids",
        )
    config = _config(files[_CONFIG]) if _CONFIG in files else {}
    where = str(files.get(_CONFIG, next(iter(files.values()))))
    named = str(config.get("tokenizer_class") or _WORDPIECE)
    if named not in _CLASSES:
        raise unknown_name("tokenizer_class", named, _CLASSES, where=where)
    if _CLASSES[named] == _AS_THE_FILE_SAYS and "tokenizer.json" not in files:
        raise InputError(f"a {named} needs tokenizer.json", where=where, do="put it beside vocab.txt")
    return _open(files, {name: value for name, value in config.items() if name in _SETTINGS}, _CLASSES[named])


def _config(file: pathlib.Path) -> dict[str, Any]:
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"cannot be read ({error})", where=str(file), do="get the file again") from error
    if not isinstance(config, dict):
        raise InputError("is not a JSON object", where=str(file), do="get the file again")
    return config


def _open(files: Mapping[str, pathlib.Path], config: Mapping[str, Any], name: str) -> PreTrainedTokenizerBase:
    # It advises to install PyTorch, which a tokenizer does not need.
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    import transformers

    # A directory of its own: beside the files there may be others that transformers would read.
    with tempfile.TemporaryDirectory() as directory:
        folder = pathlib.Path(directory)
        for file_name, file in files.items():
            shutil.copyfile(file, folder / file_name)
        (folder / _CONFIG).write_text(json.dumps(config), encoding="utf-8")
        try:
            opened = getattr(transformers, name).from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        # The Rust library below raises Exception itself for a file that it cannot parse.
        except Exception as error:
            raise InputError(
                f"no tokenizer can be made of these files ({type(error).__name__}: {error})",
                where=", ".join(str(file) for file in files.values()),
                do="get the files again",
            ) from error
    opened.name_or_path = str(next(iter(files.values())).parent)
    return opened
