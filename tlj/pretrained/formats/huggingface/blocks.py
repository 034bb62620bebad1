"""Where transformers holds the layers of a block of its transformers, ViT and BERT alike."""

from __future__ import annotations

from tlj.pretrained.formats.name_map import Module


def block_modules(index: int, *, attention: str, attention_norm: str, mlp_norm: str) -> list[Module]:
    """Returns where a checkpoint holds each layer of a block.

    Args:
      index: of the block.
      attention: what holds query, key and value in ``encoder.layer.INDEX.attention``.
      attention_norm: name of the norm of the attention, in ``encoder.layer.INDEX``.
      mlp_norm: name of the norm of the MLP, likewise.
    """
    ours, theirs = f"backbone/block{index}", f"encoder.layer.{index}"
    projections = tuple(f"{theirs}.attention.{attention}.{part}" for part in ("query", "key", "value"))
    return [
        Module(f"{ours}/attention_norm", (f"{theirs}.{attention_norm}",), "norm"),
        Module(f"{ours}/attention/query_key_value", projections, "dense"),
        Module(f"{ours}/attention/out", (f"{theirs}.attention.output.dense",), "dense"),
        Module(f"{ours}/mlp_norm", (f"{theirs}.{mlp_norm}",), "norm"),
        Module(f"{ours}/mlp/up", (f"{theirs}.intermediate.dense",), "dense"),
        Module(f"{ours}/mlp/down", (f"{theirs}.output.dense",), "dense"),
    ]
