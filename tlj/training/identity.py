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

# How a run is carried out on this machine. It may go on otherwise: no number depends on it but for the last bits.
CARRYING_OUT = (
    *("data.memory", "data.threads", "data.workers", "steps_per_call", "remat", "parallel", "attention.kernel"),
    *("checkpoint.background", "checkpoint.deadline", "cache.disk_share", "frozen_weights"),
    *("log.seconds", "log.tensorboard", "log.wandb"),
)

# Keys that runs made before them lack, each with what such a run did: it stays the same run.
_ADDED = {
    "attention.softmax": "float32",
    "prng": "threefry2x32",
    "evaluate.test": True,
    "evaluate.best": False,
    "evaluate.shifts": [],
    "cache.views": 0,
}


def resolve_run(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the config of a run with what it leaves to the devices settled, and the hashes of what it only names.

    The data is named by a path; its hash keeps a run on one data set from going on with another at the same path.

    Args:
      config: resolved, nested.

    Raises:
      InputError: where the data or a shifted set cannot be opened, or an image in it not be decoded.
    """
    config = for_devices(config)
    data = config["data"]
    settings = DataSettings.of(data, config["task"])
    source = open_source(settings)
    check_readable(source, settings)
    hashes = {"hash": source.digest}
    if folder := data["text"]["tokenizer"]:
        files = find_tokenizer_files(named_path(folder, "config.data.text.tokenizer"))
        hashes["tokenizer_hash"] = content_identity(files.values()) if files else ""
    resolved = {**config, "data": {**data, **hashes}}
    if config["evaluate"]["shifts"]:
        # Not at the top: whoever has none needs nothing of what reads them.
        from tlj.training.shifts import shift_hashes

        resolved["evaluate"] = {**config["evaluate"], "shift_hashes": shift_hashes(config, source)}
    return resolved


def for_devices(config: Mapping[str, Any], devices: int | None = None) -> dict[str, Any]:
    """Returns the config of a run with batch and learning rate as numbers, where it says how they follow from devices.

    Neither depends on the number of devices otherwise. A run that goes on elsewhere keeps the numbers it began with, or
    is refused.

    Args:
      config: resolved, nested.
      devices: how many there are to plan for; None is those of this run.
    """
    parallel, optimizer = config["parallel"], config["optimizer"]
    batch = config["global_batch_size"]
    if per_device := parallel["batch_per_device"]:
        import jax

        batch = per_device * (jax.device_count() if devices is None else devices)
    rate = optimizer["learning_rate"]
    if reference := optimizer["reference_batch"]:
        rate = rate * batch / reference
    return {
        **config,
        "global_batch_size": batch,
        "optimizer": {**optimizer, "learning_rate": rate, "reference_batch": 0},
        "parallel": {**parallel, "batch_per_device": 0},
    }


def decisive(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the config of a run, by dotted key, without what decides nothing in it."""
    within = tuple(f"{name}." for name in CARRYING_OUT)
    flat = configuration.flatten(configuration.to_dict(config))
    # Kept as precisely as they are computed, activations change a run in its last bits alone.
    if (flat.get("cache.activations"), flat.get("dtype")) != ("bfloat16", "float32"):
        flat.pop("cache.activations", None)
    return {
        key: value
        for key, value in flat.items()
        if not f"{key}.".startswith(within) and not (key in _ADDED and value == _ADDED[key])
    }


def run_hash(config: Mapping[str, Any]) -> str:
    """Returns the hash that tells a run from another, which its checkpoints carry."""
    return configuration.digest(decisive(config))
