"""Checks that transformers' torch classes load what tlj exports, with nothing missing or left over and equal logits.

Run with torch 2.13.0 and transformers 4.57.6 on what ``make_exports.py`` wrote; tlj is not needed:

    python tests/golden/check_exports.py DIRECTORY

Prints one line for each export, and exits with 1 where one fails. Pixels and token ids are checked too, through the
processor or tokenizer that the export holds.
"""

from __future__ import annotations

import json
import pathlib
import sys

import numpy as np
import torch
import transformers
from torch_parts import import_torchvision

TOLERANCE = 1e-4


def inputs(directory: pathlib.Path, reference: dict[str, np.ndarray]) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Returns what the model takes, and what its reader makes otherwise than tlj."""
    if "photo" in reference:
        reader = transformers.AutoImageProcessor.from_pretrained(directory, use_fast=False)
        made = reader(reference["photo"], return_tensors="np")["pixel_values"].transpose(0, 2, 3, 1)
        difference = float(np.abs(made - reference["images"]).max()) if made.shape == reference["images"].shape else 9
        pixels = torch.from_numpy(reference["images"].transpose(0, 3, 1, 2).copy())
        return {"pixel_values": pixels}, [f"pixels differ by {difference:.1e}"] if difference > 1e-5 else []
    names = ("input_ids", "attention_mask", "token_type_ids")
    problems = []
    if "sentences" in reference:
        reader = transformers.AutoTokenizer.from_pretrained(directory)
        made = reader(reference["sentences"].tolist(), padding=True, return_tensors="np")
        problems = [f"other {name}" for name in names if not np.array_equal(made[name], reference[name])]
    return {name: torch.from_numpy(reference[name].astype(np.int64)) for name in names}, problems


def check(directory: pathlib.Path) -> list[str]:
    """Returns what is wrong with an export, an empty list where nothing is."""
    config = json.loads((directory / "config.json").read_text())
    cls = getattr(transformers, config["architectures"][0])
    model, told = cls.from_pretrained(directory, output_loading_info=True)
    problems = [f"{what}: {sorted(told[what])}" for what in told if told[what]]
    reference = dict(np.load(directory.with_suffix(".npz")))
    taken, others = inputs(directory, reference)
    with torch.no_grad():
        given = model.eval()(**taken)
    found = given["logits"] if "logits" in given else given["pooler_output"]
    found = found.flatten(1).numpy()
    difference = np.abs(found - reference["logits"]).max() if found.shape == reference["logits"].shape else np.inf
    if not difference <= TOLERANCE:
        problems.append(f"logits differ by {difference:.1e}")
    if len(config.get("id2label", {})) not in (0, model.config.num_labels):
        problems.append("another number of names than classes")
    print(f"{directory.name}: {cls.__name__}, logits within {difference:.1e}{'; '.join(['', *problems, *others])}")
    return problems + others


def main(root: pathlib.Path) -> int:
    """Checks every export in a directory."""
    import_torchvision()
    transformers.logging.set_verbosity_error()
    directories = sorted(path for path in root.iterdir() if path.is_dir())
    failed = [path.name for path in directories if check(path)]
    print(f"{len(directories) - len(failed)} of {len(directories)} exports are right")
    return 1 if failed or not directories else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
