"""Classifies sentences with the program beside this file:  python example.py "A sentence." "Another one."

It needs no more than this:  pip install jax flatbuffers numpy safetensors tokenizers
Where no tokenizer came with the model, the words are token ids:  python example.py "2 5 6 3" "2 6 3"
"""

from __future__ import annotations

import functools
import json
import pathlib
import sys
from typing import Any

import numpy as np
from jax import export
from safetensors.numpy import load_file

HERE = pathlib.Path(__file__).parent


@functools.cache
def model() -> dict[str, Any]:
    """Returns what is known of the model."""
    return json.loads((HERE / "model.json").read_text(encoding="utf-8"))


def tokens(sentences: list[str]) -> list[tuple[list[int], list[int]]]:
    """Returns the token ids of each sentence and the segment of each token."""
    length = model()["preprocessing"]["length"]
    if not model()["tokenizer"]:
        ids = [[int(word) for word in sentence.split()][:length] for sentence in sentences]
        return [(one, [0] * len(one)) for one in ids]
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(HERE / model()["tokenizer"]))
    tokenizer.no_padding()
    tokenizer.enable_truncation(length)
    return [(one.ids, one.type_ids) for one in tokenizer.encode_batch(sentences)]


def inputs(sentences: list[str]) -> list[np.ndarray]:
    """Returns the program's inputs, in its order, padded to the longest sentence."""
    rows = tokens(sentences)
    shape = (len(rows), max(len(ids) for ids, _ in rows))
    padded = {
        "input_ids": np.full(shape, model()["preprocessing"]["padding"], np.int32),
        "attention_mask": np.zeros(shape, np.int32),
        "token_type_ids": np.zeros(shape, np.int32),
    }
    for row, (ids, types) in enumerate(rows):
        padded["input_ids"][row, : len(ids)] = ids
        padded["attention_mask"][row, : len(ids)] = 1
        padded["token_type_ids"][row, : len(ids)] = types
    return [padded[one["name"]] for one in model()["inputs"]]


def logits(sentences: list[str]) -> np.ndarray:
    """Returns the logits of sentences, one row for each; the features of a model without classes."""
    program = export.deserialize(bytearray((HERE / model()["program"]["file"]).read_bytes()))
    weights = load_file(HERE / model()["weights"]["file"])
    return np.asarray(program.call(weights, *inputs(sentences)))


def described(row: np.ndarray) -> str:
    """Returns what the program says of one sentence, the likeliest classes first."""
    if not model()["num_classes"]:
        return f"{len(row)} features: {', '.join(f'{value:.4g}' for value in row[:5])}, ..."
    shares = np.exp(row - row.max())
    names = model()["classes"] or [f"class {number}" for number in range(len(row))]
    best = np.argsort(-row, kind="stable")[:5]
    return ", ".join(f"{names[number]} {shares[number] / shares.sum():.1%}" for number in best)


if __name__ == "__main__":
    if not sys.argv[1:]:
        sys.exit(__doc__)
    for sentence, row in zip(sys.argv[1:], logits(sys.argv[1:]), strict=True):
        print(f"{sentence}: {described(row)}")
