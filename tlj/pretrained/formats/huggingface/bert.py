"""BERT as transformers has it: `BertConfig`, `BertModel`, `BertForSequenceClassification` and their Flax classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tlj.models.bert import BERTSpec
from tlj.pretrained.formats.huggingface.blocks import block_modules
from tlj.pretrained.formats.huggingface.family import HuggingFaceFamily
from tlj.pretrained.formats.huggingface.settings import ACTIVATION_NAMES, one_of, positive, rate, size
from tlj.pretrained.formats.name_map import Module

# The defaults are those of transformers.BertConfig.
_SETTINGS = {
    "vocab_size": size(30522),
    "hidden_size": size(768),
    "num_hidden_layers": size(12),
    "num_attention_heads": size(12),
    "intermediate_size": size(3072),
    "hidden_act": one_of("gelu", ACTIVATION_NAMES),
    "hidden_dropout_prob": rate(0.1),
    "attention_probs_dropout_prob": rate(0.1),
    "max_position_embeddings": size(512),
    "type_vocab_size": size(2),
    "layer_norm_eps": positive(1e-12),
    "pad_token_id": size(0, least=0),
    "classifier_dropout": rate(None, optional=True),
}
# Written by the first multilingual checkpoints; no class reads them.
_IGNORED = (
    "directionality",
    "pooler_fc_size",
    "pooler_num_attention_heads",
    "pooler_num_fc_layers",
    "pooler_size_per_head",
    "pooler_type",
)


def _fields(settings: Mapping[str, Any], layout: str) -> dict[str, Any]:
    return {
        "vocabulary": settings["vocab_size"],
        "width": settings["hidden_size"],
        "depth": settings["num_hidden_layers"],
        "heads": settings["num_attention_heads"],
        "mlp_width": settings["intermediate_size"],
        "activation": settings["hidden_act"],
        "epsilon": settings["layer_norm_eps"],
        "positions": settings["max_position_embeddings"],
        "types": settings["type_vocab_size"],
        "padding": settings["pad_token_id"],
        "dropout": settings["hidden_dropout_prob"],
        "attention_dropout": settings["attention_probs_dropout_prob"],
        "head_dropout": settings["classifier_dropout"],
        "pool": "pooler",
    }


def _written(spec: BERTSpec) -> dict[str, Any]:
    return {
        "vocab_size": spec.vocabulary,
        "hidden_size": spec.width,
        "num_hidden_layers": spec.depth,
        "num_attention_heads": spec.heads,
        "intermediate_size": spec.mlp_width or 4 * spec.width,
        "hidden_act": ACTIVATION_NAMES[spec.activation][0],
        "hidden_dropout_prob": spec.dropout,
        "attention_probs_dropout_prob": spec.attention_dropout,
        "max_position_embeddings": spec.positions,
        "type_vocab_size": spec.types,
        "layer_norm_eps": spec.epsilon,
        "pad_token_id": spec.padding,
        "classifier_dropout": spec.head_dropout,
    }


def _backbone(spec: BERTSpec) -> tuple[Module, ...]:
    modules = [
        Module("backbone/embedding/word", ("embeddings.word_embeddings",), "table"),
        Module("backbone/embedding/position", ("embeddings.position_embeddings",), "table"),
        Module("backbone/embedding/type", ("embeddings.token_type_embeddings",), "table"),
        Module("backbone/embedding/norm", ("embeddings.LayerNorm",), "norm"),
        Module("backbone/pooler", ("pooler.dense",), "dense"),
    ]
    for i in range(spec.depth):
        modules += block_modules(
            i, attention="self", attention_norm="attention.output.LayerNorm", mlp_norm="output.LayerNorm"
        )
    return tuple(modules)


def _unused(spec: BERTSpec) -> dict[str, str]:
    pooler = {} if spec.pool == "pooler" else {r"pooler[./].*": "the model pools otherwise"}
    return {
        **pooler,
        r"embeddings[./](position_ids|token_type_ids)": "a constant",
        r"cls[./].*": "a head of pretraining",
        r"qa_outputs[./].*": "a head that answers questions",
    }


BERT = HuggingFaceFamily(
    model_type="bert",
    model_class="BertModel",
    classifier_class="BertForSequenceClassification",
    settings=_SETTINGS,
    fixed={"position_embedding_type": ("absolute",)},
    ignored=frozenset(_IGNORED),
    signature={"torch": "embeddings.word_embeddings.weight", "flax": "embeddings/word_embeddings/embedding"},
    head="classifier",
    other_heads=("BertForTokenClassification", "BertForMultipleChoice"),
    fields=_fields,
    written=_written,
    backbone=_backbone,
    unused=_unused,
    architecture=lambda spec: "BertForSequenceClassification" if spec.num_classes else "BertModel",
    lacks=lambda spec: {} if spec.pool == "pooler" else {"pool": spec.pool},
)
