"""Hub ids: from ``owner/name`` to a directory in the cache of ``huggingface_hub``, from the network only if need be."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
from collections.abc import Collection

from tlj.errors import InputError

_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*(@\w[\w./-]*)?")
_FILES = (".npz", ".safetensors", ".msgpack", ".bin", ".json", ".h5")
# What is fetched beside the weights: what the readers look for, no more.
_SETTINGS = ("config.json", "tlj.json")
_TRAVELLING = (
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "special_tokens_map.json",
    "added_tokens.json",
)
_INDEX = "model.safetensors.index.json"
_SHARD = re.compile(r"model-\d+-of-\d+\.safetensors")
_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
_TIMEOUT_S = 10.0
_LOG_IN = "check its spelling, or log in with `hf auth login` and ask for access on its page"


def is_hub_id(text: str) -> bool:
    """Whether a source that is no file and no directory may be a hub id: ``owner/name``, ``@revision`` after it or not.

    Names without an owner, such as ``bert-base-uncased``, are not taken: write ``google-bert/bert-base-uncased``.
    """
    return bool(_ID.fullmatch(text)) and ".." not in text and not text.endswith(_FILES)


def fetch(text: str) -> pathlib.Path:
    """Returns the directory of a hub id: from the cache where it is whole there, else from the hub.

    The cache is that of ``huggingface_hub``: ``HF_HUB_CACHE``, else ``HF_HOME/hub``. Of the weights, only one form is
    fetched: safetensors, else msgpack. Where another program has cached the weights alone, the small files of the same
    commit that say what the model expects of its inputs are fetched too, if the hub answers. With ``HF_HUB_OFFLINE=1``
    the network is not asked.

    Args:
      text: a hub id.

    Raises:
      InputError: where it cannot be had: it does not exist, may not be read, holds no weights that tlj reads, or the
        hub does not answer and the cache does not have it.
    """
    repository, _, revision = text.partition("@")
    cached = _cached(repository, revision)
    is_offline = any(os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE") for name in _OFFLINE)
    if cached:
        if not (is_offline or _tells_inputs(cached)):
            _complete(repository, cached)
        return cached
    if is_offline:
        raise _refusal(text, "the hub's cache does not have it, and HF_HUB_OFFLINE forbids to fetch it", "")
    return _download(text, repository, revision)


def _cache_directory() -> str | None:
    """Read at every call, as huggingface_hub reads it only once; None is its own default."""
    if chosen := os.environ.get("HF_HUB_CACHE"):
        return os.path.expanduser(chosen)
    home = os.environ.get("HF_HOME")
    return os.path.join(os.path.expanduser(home), "hub") if home else None


def _cached(repository: str, revision: str) -> pathlib.Path | None:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    for name in _SETTINGS:
        try:
            found = try_to_load_from_cache(repository, name, cache_dir=_cache_directory(), revision=revision or None)
        except HFValidationError as error:
            raise _refusal(repository, f"not a name that the hub allows ({error})", "") from error
        if isinstance(found, str) and _has_weights(pathlib.Path(found).parent):
            return pathlib.Path(found).parent
    return None


def _has_weights(folder: pathlib.Path) -> bool:
    if not (folder / _INDEX).is_file():
        return any(folder.glob("*.safetensors")) or (folder / "flax_model.msgpack").is_file()
    if (folder / "model.safetensors").is_file():
        return True
    try:
        shards = set(json.loads((folder / _INDEX).read_bytes())["weight_map"].values())
    except (ValueError, TypeError, KeyError, AttributeError):
        return True  # what is wrong with the index is said where it is read
    return all((folder / str(shard)).is_file() for shard in shards)


def _tells_inputs(folder: pathlib.Path) -> bool:
    """Whether a snapshot has any file that says what goes into the model; timm's config.json does."""
    beside = any((folder / name).is_file() for name in ("tlj.json", *_TRAVELLING))
    config = folder / "config.json"
    return beside or (config.is_file() and b'"pretrained_cfg"' in config.read_bytes())


def _complete(repository: str, snapshot: pathlib.Path) -> None:
    from huggingface_hub import snapshot_download

    # Where it fails, the readers say what they have to assume without these files.
    with contextlib.suppress(Exception):
        snapshot_download(
            repository,
            revision=snapshot.name,
            cache_dir=_cache_directory(),
            allow_patterns=["tlj.json", *_TRAVELLING],
            etag_timeout=_TIMEOUT_S,
            endpoint=os.environ.get("HF_ENDPOINT"),
        )


def _download(text: str, repository: str, revision: str) -> pathlib.Path:
    from huggingface_hub import HfApi, errors, snapshot_download

    endpoint = os.environ.get("HF_ENDPOINT")
    try:
        listed = HfApi(endpoint=endpoint).model_info(repository, revision=revision or None, timeout=_TIMEOUT_S)
        wanted = _wanted(text, [file.rfilename for file in listed.siblings or ()])
        folder = snapshot_download(
            repository,
            revision=revision or None,
            cache_dir=_cache_directory(),
            allow_patterns=wanted,
            etag_timeout=_TIMEOUT_S,
            endpoint=endpoint,
        )
    except InputError:
        raise
    except errors.GatedRepoError as error:
        raise _refusal(text, "the hub gives it only to those who accepted its terms", _LOG_IN) from error
    except errors.RevisionNotFoundError as error:
        raise _refusal(text, f"the hub has no revision {revision!r} of it", "") from error
    except errors.RepositoryNotFoundError as error:
        raise _refusal(text, "the hub has no such model, or it is private", _LOG_IN) from error
    # The hub's client lets errors of its own, of its HTTP library and of the disk through, and none is a defect here.
    except Exception as error:
        said = str(error).strip().partition("\n")[0]
        what = f"the cache does not have it, and fetching it failed ({type(error).__name__}: {said})"
        raise _refusal(text, what, "check the network, or fetch it elsewhere and give its directory") from error
    return pathlib.Path(folder)


def _wanted(text: str, names: Collection[str]) -> list[str]:
    """Which files of a repository to fetch: one form of its weights, and what the readers look for beside them."""
    others = [name for name in names if name.endswith(".safetensors") and "/" not in name and not _SHARD.match(name)]
    if "model.safetensors" in names:
        weights = ["model.safetensors"]
    elif _INDEX in names:
        weights = [_INDEX, *(name for name in names if _SHARD.fullmatch(name))]
    elif "flax_model.msgpack" in names:
        weights = ["flax_model.msgpack"]
    elif len(others) == 1:
        weights = others
    else:
        held = ", ".join(sorted(name for name in names if name.endswith((".bin", ".h5", ".pt", ".pth", *_FILES[:3]))))
        raise _refusal(
            text,
            f"the hub's files hold no model.safetensors and no flax_model.msgpack, but {held or 'no weights at all'}",
            "choose a revision that has them, or convert it to safetensors and give its directory",
        )
    return [*weights, *(name for name in (*_SETTINGS, *_TRAVELLING) if name in names)]


def _refusal(text: str, what: str, do: str) -> InputError:
    return InputError(
        f"no file or directory {text!r}, and as a hub id: {what}",
        where="config.model.source",
        do=do or "check its spelling",
    )
