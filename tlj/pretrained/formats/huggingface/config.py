"""Reading and checking a config.json: every setting in it is one that tlj implements, or one that changes nothing."""

from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Mapping
from typing import Any

from tlj.errors import InputError, nearest_name
from tlj.pretrained.formats.huggingface.family import HuggingFaceFamily
from tlj.pretrained.formats.huggingface.settings import shown

# Of every config class of transformers (4.57 and 5): settings of which the model's class reads nothing, or nothing that
# an encoder's values depend on.
_NAMES = """_name_or_path name_or_path _commit_hash model_type architectures transformers_version auto_map
    finetuning_task task_specific_params problem_type id2label label2id num_labels _num_labels tokenizer_class prefix
    bos_token_id eos_token_id sep_token_id decoder_start_token_id sentence_transformers
    sbert_ce_default_activation_function"""
_COMPUTATION = """dtype torch_dtype torchscript use_bfloat16 tf_legacy_loss xla_device gradient_checkpointing
    attn_implementation _attn_implementation _attn_implementation_internal _attn_implementation_autoset
    experts_implementation _experts_implementation _experts_implementation_internal chunk_size_feed_forward use_cache
    return_dict output_hidden_states output_attentions output_past tie_last_hidden_states initializer_range
    tie_word_embeddings tie_encoder_decoder cross_attention_hidden_size"""
_GENERATION = """max_length min_length do_sample early_stopping num_beams temperature top_k top_p typical_p
    repetition_penalty length_penalty no_repeat_ngram_size encoder_no_repeat_ngram_size bad_words_ids
    num_return_sequences output_scores return_dict_in_generate forced_bos_token_id forced_eos_token_id
    remove_invalid_values exponential_decay_length_penalty suppress_tokens begin_suppress_tokens num_beam_groups
    diversity_penalty epsilon_cutoff eta_cutoff encoder_repetition_penalty num_assistant_tokens
    num_assistant_tokens_schedule assistant_confidence_threshold assistant_lookbehind target_lookbehind"""
CHANGES_NOTHING = frozenset(f"{_NAMES} {_COMPUTATION} {_GENERATION}".split())

# What tlj itself adds where it writes a config.json (``tlj.pretrained.formats.huggingface.extra``).
EXTRA = "tlj"

# Settings of every config class of which tlj implements these values.
_FIXED = {
    "is_encoder_decoder": (False, None),
    "is_decoder": (False, None),
    "add_cross_attention": (False, None),
    "pruned_heads": ({}, None),
    "quantization_config": (None,),
    "per_layer_config": (None, {}),
}


def read_config(file: pathlib.Path) -> dict[str, Any]:
    """Returns the content of a config.json.

    Args:
      file: the path of it.

    Raises:
      InputError: where it is no JSON object.
    """
    try:
        # A byte order mark is no part of JSON, but some editors write one.
        config = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not JSON"
        raise InputError(f"cannot be read: {why}", where=str(file), do="get the checkpoint again") from None
    if not isinstance(config, dict):
        raise InputError("not a JSON object", where=str(file), do="get the checkpoint again")
    return config


def family_in(config: Mapping[str, Any], families: Mapping[str, HuggingFaceFamily], where: str) -> HuggingFaceFamily:
    """Returns the family that a config names as its ``model_type``.

    Args:
      config: the content of a config.json.
      families: by ``model_type``.
      where: the file.

    Raises:
      InputError: where it names none, or one that tlj does not have.
    """
    exists = f"tlj has {', '.join(sorted(families))}"
    if "model_type" not in config:
        raise InputError("no model_type", where=where, do=f"write one into it, or say the family; {exists}")
    kind = config["model_type"]
    if not isinstance(kind, str) or kind not in families:
        near = nearest_name(kind, families) if isinstance(kind, str) else None
        raise InputError(f"model_type {shown(kind)} is not implemented", where=where, nearest=near, do=exists)
    return families[kind]


def settings_of(family: HuggingFaceFamily, config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Returns the settings of a config as tlj uses them, by transformers' names.

    Args:
      family: that the config is of.
      config: the content of a config.json.
      where: the file.

    Raises:
      InputError: naming every setting that tlj does not implement, or one that has another type than it should.
    """
    fixed = {**_FIXED, **family.fixed}
    known = {*CHANGES_NOTHING, *family.settings, *fixed, *family.ignored, EXTRA}
    unknown = sorted(set(config) - known)
    if unknown:
        named = ", ".join(f"{key} = {shown(config[key])}" for key in unknown)
        several = "settings" if len(unknown) > 1 else "a setting"
        raise InputError(
            f"{several} that tlj does not implement: {named}",
            where=where,
            nearest=nearest_name(unknown[0], family.settings),
            do="take out of the file what changes nothing",
        )
    for key, implemented in fixed.items():
        if key in config and config[key] not in implemented:
            raise InputError(
                f"{key} = {shown(config[key])} is not implemented",
                where=where,
                do=f"tlj implements {json.dumps(implemented[0])}",
            )
    return {key: setting.value(config, key, where) for key, setting in family.settings.items()}


def class_names(config: Mapping[str, Any], where: str) -> tuple[str, ...] | None:
    """Returns the names of the classes in the order of the logits; None where the config does not tell.

    Args:
      config: the content of a config.json.
      where: the file.

    Raises:
      InputError: where ``id2label`` is not an object from numbers to names.
    """
    named = config.get("id2label")
    if named is None:
        return None
    if not isinstance(named, dict) or not all(re.fullmatch(r"\d{1,9}", key, re.ASCII) for key in named):
        raise InputError("id2label is not an object from numbers to names", where=where, do="mend the file")
    by_number = {int(key): str(name) for key, name in named.items()}
    return tuple(by_number[number] for number in sorted(by_number))


def architecture_in(config: Mapping[str, Any], where: str) -> str:
    """Returns the class that a checkpoint was saved from, or nothing where the config does not tell.

    Raises:
      InputError: where ``architectures`` is not a list of names.
    """
    named = config.get("architectures") or []
    if not isinstance(named, list) or not all(isinstance(name, str) for name in named):
        raise InputError(f"architectures = {shown(named)} is not a list of names", where=where, do="mend the file")
    # The Flax and TensorFlow classes are called as those of torch, with the framework before it.
    return named[0].removeprefix("Flax").removeprefix("TF") if named else ""
