"""Loads corrupted copies of a checkpoint, one after the other, and prints what became of each: run by the fuzz test."""

from __future__ import annotations

import faulthandler
import json
import os
import pathlib
import resource
import shutil
import signal
import sys
import traceback
import warnings

import numpy as np
from flax import traverse_util
from format_corruptions import corrupted

import tlj
from tlj.errors import InputError
from tlj.pretrained.files.msgpack_file import open_msgpack
from tlj.pretrained.files.npz_file import open_npz
from tlj.pretrained.files.safetensors_file import open_safetensors
from tlj.pretrained.load_report import array_hash

OPENERS = {"safetensors": open_safetensors, "msgpack": open_msgpack, "npz": open_npz}
CASES = 200
SECONDS_A_CASE = 10
MOST_MEMORY = 8 * 2**30


def read_arrays(kind: str, file: pathlib.Path) -> bool:
    """Whether the arrays of a file can be read; those that can are as they were told to be."""
    try:
        for array in OPENERS[kind](file).values():
            values = array.read()
            assert values.shape == array.shape, array.name
            assert values.dtype == array.dtype, array.name
    except InputError:
        return False
    return True


def load_model(source: pathlib.Path) -> InputError | None:
    """Returns why no model can be loaded; one that can is finite and the one of its report."""
    try:
        model = tlj.load(source)
    except InputError as error:
        return error
    leaves = traverse_util.flatten_dict(model.variables, sep="/")
    rows = {row.path: row for row in model.report.leaves if row.path}
    assert set(rows) == set(leaves)
    for path, leaf in leaves.items():
        assert np.isfinite(leaf).all(), path
        assert rows[path].hash == array_hash(np.asarray(leaf)), path
    return None


def outcome_of(kind: str, file: pathlib.Path, source: pathlib.Path) -> str:
    """Returns ``"loaded"``, or ``"refused"`` and why; anything else that happens is an error of another kind."""
    is_readable, refusal = read_arrays(kind, file), load_model(source)
    assert not pathlib.Path("unpickled").exists(), "something was executed"
    assert is_readable or refusal, "what a reader refuses was loaded"
    assert not refusal or str(source) in str(refusal), f"the file is not named: {refusal}"
    return f"refused: {refusal}" if refusal else "loaded"


def main(kind: str, checkpoint: pathlib.Path, folder: pathlib.Path) -> None:
    """Prints one line of JSON per case, before it starts and when it has ended."""
    content = checkpoint.read_bytes()
    if kind == "npz":
        source = file = folder / checkpoint.name
    else:
        source = folder / "checkpoint"
        shutil.copytree(checkpoint.parent, source)
        file = source / checkpoint.name
    os.chdir(folder)
    for seed in range(-1, CASES):
        name, damaged = corrupted(kind, content, seed) if seed >= 0 else ("none", content)
        print(json.dumps({"seed": seed, "corruption": name}), flush=True)
        file.unlink(missing_ok=True)
        file.write_bytes(damaged)
        signal.alarm(SECONDS_A_CASE)
        try:
            outcome = outcome_of(kind, file, source)
        except Exception:
            outcome = traceback.format_exc()
        signal.alarm(0)
        print(json.dumps({"seed": seed, "corruption": name, "outcome": outcome}), flush=True)


def time_out(*_: object) -> None:
    """Ends a case that takes too long."""
    raise TimeoutError(f"more than {SECONDS_A_CASE} s")


if __name__ == "__main__":
    faulthandler.enable()
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    signal.signal(signal.SIGALRM, time_out)
    main(sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]))
