"""Makes the checkpoints of transformers' Flax classes, with the logits and hidden states of these classes themselves.

Run with transformers 4.57.6, jax 0.10.2 and flax 0.12.8 installed:

    python tests/golden/make_flax_checkpoints.py

Writes directories as ``make_checkpoints.py`` does, with ``flax_model.msgpack``. Nothing is converted from torch:
``FlaxResNet...from_pretrained(from_pt=True)`` of this version leaves most weights as they were initialised.
"""

from __future__ import annotations

import os
import pathlib
import shutil

os.environ["JAX_PLATFORMS"] = "cpu"

import numpy as np
import transformers
from flax import traverse_util
from make_checkpoints import BERT, BOTTLENECK, RESNET, VIT
from random_weights import generator, images, sentences, values
from torch_parts import import_torchvision

ROOT = pathlib.Path(__file__).parent / "checkpoints"
VITS = {
    "vit_flax": ("ForImageClassification", {"image_size": 16, "patch_size": 4, "layer_norm_eps": 1e-6}),
    "vit_flax_gelu_new": (
        "ForImageClassification",
        {"image_size": 16, "patch_size": 8, "hidden_act": "gelu_new", "qkv_bias": False},
    ),
    "vit_flax_headless": ("Model", {"image_size": 8, "patch_size": 2, "hidden_act": "relu"}),
}
RESNETS = {
    "resnet_flax_basic": ("ForImageClassification", {}),
    "resnet_flax_bottleneck": ("ForImageClassification", {**BOTTLENECK, "hidden_act": "gelu"}),
    "resnet_flax_headless": ("Model", {**BOTTLENECK, "downsample_in_first_stage": True}),
}
BERTS = {
    "bert_flax": ("ForSequenceClassification", {"type_vocab_size": 3}),
    "bert_flax_gelu_new": ("ForSequenceClassification", {"hidden_act": "gelu_new", "layer_norm_eps": 1e-3}),
    "bert_flax_headless": ("Model", {"hidden_act": "relu", "pad_token_id": 2}),
    "bert_flax_pretraining": ("ForPreTraining", {}),
}


def make(name: str, family: str, kind: str, config: transformers.PretrainedConfig, **arguments: object) -> object:
    """Returns a model of a Flax class with random values."""
    model = getattr(transformers, f"Flax{family}{kind}")(config, **arguments)
    rng = generator(name)
    flat = traverse_util.flatten_dict(dict(model.params), sep="/")
    model.params = traverse_util.unflatten_dict({k: values(k, v.shape, rng) for k, v in flat.items()}, sep="/")
    return model


def save(name: str, model: object, reference: dict[str, np.ndarray], *others: object) -> None:
    """Writes the directory of a checkpoint."""
    shutil.rmtree(ROOT / name, ignore_errors=True)
    model.save_pretrained(ROOT / name)
    for other in others:
        other.save_pretrained(ROOT / name)
    np.savez_compressed(ROOT / name / "reference.npz", **reference)


def named(result: object, kind: str, hidden: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the outputs by the names of the reference file."""
    found = {f"hidden/{name}": np.asarray(value) for name, value in hidden.items()}
    if kind in ("ForImageClassification", "ForSequenceClassification"):
        found["logits"] = np.asarray(result.logits)
    if kind == "Model":
        found["pooled"] = np.asarray(result.pooler_output).reshape(len(result.pooler_output), -1)
    return found


def make_vit(name: str, kind: str, settings: dict) -> None:
    """Writes one ViT."""
    config = transformers.ViTConfig(**{**VIT, **settings})
    model = make(name, "ViT", kind, config)
    inputs = images(name, 2, config.image_size)
    result = model(pixel_values=inputs.transpose(0, 3, 1, 2), output_hidden_states=True)
    hidden = dict(zip(("embedding", "block0", "block1"), result.hidden_states, strict=True))
    if kind == "Model":
        hidden["norm"] = result.last_hidden_state
    size = {"height": config.image_size, "width": config.image_size}
    processor = transformers.ViTImageProcessor(size=size)
    save(name, model, {"images": inputs, **named(result, kind, hidden)}, processor)


def make_resnet(name: str, kind: str, settings: dict) -> None:
    """Writes one ResNet; its hidden states are those at the ends of the stages, NHWC."""
    config = transformers.ResNetConfig(**{**RESNET, **settings})
    model = make(name, "ResNet", kind, config, input_shape=(1, 22, 22, 3))
    inputs = images(name, 2, 22)
    result = model(pixel_values=inputs.transpose(0, 3, 1, 2), output_hidden_states=True)
    ends = np.cumsum(config.depths) - 1
    maps = (np.asarray(state).transpose(0, 2, 3, 1) for state in result.hidden_states[1:])
    hidden = {f"block{end}": state for end, state in zip(ends, maps, strict=True)}
    processor = transformers.ConvNextImageProcessor(size={"shortest_edge": 22}, crop_pct=0.875)
    save(name, model, {"images": inputs, **named(result, kind, hidden)}, processor)


def make_bert(name: str, kind: str, settings: dict) -> None:
    """Writes one BERT."""
    config = transformers.BertConfig(**{**BERT, **settings})
    model = make(name, "Bert", kind, config)
    length, types = config.max_position_embeddings, config.type_vocab_size
    inputs = sentences(name, 3, length, config.vocab_size, types, config.pad_token_id)
    result = model(**inputs, output_hidden_states=True)
    hidden = dict(zip(("embedding", "block0", "block1"), result.hidden_states, strict=True))
    found = named(result, kind, hidden)
    if kind == "ForPreTraining":
        # It pools, but does not return what it pooled.
        encoder = transformers.FlaxBertModel(config, _do_init=False)
        found["pooled"] = np.asarray(encoder(**inputs, params=model.params["bert"]).pooler_output)
    save(name, model, inputs | found)


if __name__ == "__main__":
    import_torchvision()
    for name, (kind, settings) in VITS.items():
        make_vit(name, kind, settings)
    for name, (kind, settings) in RESNETS.items():
        make_resnet(name, kind, settings)
    for name, (kind, settings) in BERTS.items():
        make_bert(name, kind, settings)
