"""What makes a run another run: its config, but for how fast data is read, and the hashes of what it only names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tlj import config as configuration
from tlj.data.readable import check_readable
from tlj.data.settings import DataSettings
from tlj.data.sources import open_source
from tlj.named_paths import named_path
from tlj.pretrained.formats.tokenizer_files import find_tokenizer_files
from tlj.pretrained.identity import content_identity

# How examples are read on this machine; no batch depends on it, so a run may go on with others.
READING = ("memory", "threads", "workers")


def with_data_hashes(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the config of a run with the hash of its data, and of a tokenizer that it names.

    The data is named by a path; its hash keeps a run on one data set from going on with another at the same path.

    Args:
      config: resolved, nested.

    Raises:
      InputError: where the data cannot be opened, or an image in it not be decoded.
    """
    data = config["data"]
    settings = DataSettings.of(data)
    source = open_source(settings)
    check_readable(source, settings)
    hashes = {"hash": source.digest}
    if folder := data["text"]["tokenizer"]:
        files = find_tokenizer_files(named_path(folder, "config.data.text.tokenizer"))
        hashes["tokenizer_hash"] = content_identity(files.values()) if files else ""
    return {**config, "data": {**data, **hashes}}


def decisive(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the config of a run without what decides nothing in it."""
    data = {name: value for name, value in config["data"].items() if name not in READING}
    return {**config, "data": data}


def run_hash(config: Mapping[str, Any]) -> str:
    """Returns the hash that tells a run from another, which its checkpoints carry."""
    return configuration.digest(decisive(config))
