"""Makes the checkpoints of transformers' torch classes, with their logits and hidden states.

Run with torch 2.13.0, transformers 4.57.6 and safetensors installed; tlj and its tests need none of torch:

    python tests/golden/make_checkpoints.py

Writes ``tests/golden/checkpoints/NAME/``: what ``save_pretrained`` writes, and ``reference.npz``. In the reference,
images are NHWC, ``hidden/NAME`` is the output of the layer that tlj calls NAME (images NHWC, too), ``logits`` those of
the class that was saved, ``pooled`` its pooled output. ``unmasked/...`` is what a BERT gives without a mask, and
``resolutions.npz`` what a ViT gives with ``interpolate_pos_encoding``. All in float32 on the CPU.
"""

from __future__ import annotations

import pathlib
import shutil

import numpy as np
import torch
import transformers
from random_weights import generator, images, sentences, values
from torch_parts import every_block, import_torchvision, record
from transformers import BertConfig, ResNetConfig, ViTConfig

ROOT = pathlib.Path(__file__).parent / "checkpoints"
ANIMALS = {"id2label": {0: "ant", 1: "bee", 2: "cat"}, "label2id": {"ant": 0, "bee": 1, "cat": 2}}

VIT = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, **ANIMALS}
VITS = {
    "vit_gelu": ("ForImageClassification", {"image_size": 16, "patch_size": 4, "layer_norm_eps": 1e-12}),
    "vit_gelu_new": (
        "ForImageClassification",
        {"image_size": 8, "patch_size": 2, "hidden_act": "gelu_new", "qkv_bias": False},
    ),
    "vit_gelu_pytorch_tanh": (
        "ForImageClassification",
        {"image_size": 16, "patch_size": 8, "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-2},
    ),
    "vit_relu": (
        "ForImageClassification",
        {
            "image_size": 16,
            "patch_size": 4,
            "hidden_act": "relu",
            "num_attention_heads": 4,
            "intermediate_size": 24,
            "num_hidden_layers": 3,
            "hidden_dropout_prob": 0.1,
            "attention_probs_dropout_prob": 0.2,
        },
    ),
    "vit_headless": ("Model", {"image_size": 16, "patch_size": 4}),
    "vit_headless_without_pooler": ("Model", {"image_size": 16, "patch_size": 4}),
    "vit_sharded": ("ForImageClassification", {"image_size": 16, "patch_size": 4}),
    "vit_bfloat16": ("ForImageClassification", {"image_size": 16, "patch_size": 4}),
}

RESNET = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [2, 1], "layer_type": "basic", **ANIMALS}
BOTTLENECK = {"layer_type": "bottleneck", "hidden_sizes": [16, 32], "depths": [1, 2]}
RESNETS = {
    "resnet_basic": ("ForImageClassification", {}),
    "resnet_basic_gelu": ("ForImageClassification", {"hidden_act": "gelu", "hidden_sizes": [8, 8]}),
    "resnet_bottleneck": ("ForImageClassification", BOTTLENECK),
    "resnet_first_stage_downsamples": ("ForImageClassification", {**BOTTLENECK, "downsample_in_first_stage": True}),
    "resnet_basic_first_stage_downsamples": ("ForImageClassification", {"downsample_in_first_stage": True}),
    "resnet_first_convolution_strides": ("ForImageClassification", {**BOTTLENECK, "downsample_in_bottleneck": True}),
    "resnet_headless": ("Model", BOTTLENECK),
}

BERT = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 12,
    **ANIMALS,
}
BERTS = {
    "bert_gelu": ("ForSequenceClassification", {}),
    "bert_gelu_new": ("ForSequenceClassification", {"hidden_act": "gelu_new", "layer_norm_eps": 1e-2}),
    "bert_gelu_pytorch_tanh": ("ForSequenceClassification", {"hidden_act": "gelu_pytorch_tanh"}),
    "bert_relu": ("ForSequenceClassification", {"hidden_act": "relu", "type_vocab_size": 1, "pad_token_id": 3}),
    "bert_three_types": (
        "ForSequenceClassification",
        {"type_vocab_size": 3, "max_position_embeddings": 20, "num_attention_heads": 4, "classifier_dropout": 0.3},
    ),
    "bert_headless": ("Model", {}),
    "bert_masked_lm": ("ForMaskedLM", {}),
    "bert_pretraining": ("ForPreTraining", {"pad_token_id": 1}),
    "bert_token_classification": ("ForTokenClassification", {}),
    "bert_sharded": ("ForSequenceClassification", {}),
}
VOCABULARY = "[PAD] [UNK] [CLS] [SEP] [MASK] a the cat ant bee sat flew on under big ##s ##ed ##er ."


def randomise(model: torch.nn.Module, name: str) -> None:
    """Gives every parameter and every running statistic a random value."""
    rng = generator(name)
    with torch.no_grad():
        for path, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                tensor.copy_(torch.from_numpy(values(path, tuple(tensor.shape), rng)))
            elif path.endswith("num_batches_tracked"):
                tensor.fill_(7)


def make(name: str, family: str, kind: str, config: transformers.PretrainedConfig) -> tuple[torch.nn.Module, object]:
    """Returns a model with random values, and its backbone."""
    extra = {"add_pooling_layer": False} if name.endswith("without_pooler") else {}
    # One plain implementation of attention, whatever this machine would choose.
    config._attn_implementation = "eager"
    model = getattr(transformers, f"{family}{kind}")(config, **extra).eval()
    randomise(model, name)
    if name.endswith("bfloat16"):
        model = model.to(torch.bfloat16)
    prefix = {"ViT": "vit", "ResNet": "resnet", "Bert": "bert"}[family]
    return model, model if kind == "Model" else getattr(model, prefix)


def save(name: str, model: torch.nn.Module, reference: dict[str, np.ndarray], *others: object) -> None:
    """Writes the directory of a checkpoint."""
    folder = ROOT / name
    shutil.rmtree(folder, ignore_errors=True)
    sharded = {"max_shard_size": "8KB"} if name.endswith("sharded") else {}
    model.save_pretrained(folder, **sharded)
    for other in others:
        other.save_pretrained(folder)
    np.savez_compressed(folder / "reference.npz", **reference)


def outputs(model: torch.nn.Module, layers: dict[str, torch.nn.Module], kind: str, **inputs) -> dict[str, np.ndarray]:
    """Returns what a model and its layers give, evaluated in float32."""
    with torch.no_grad(), record(layers) as hidden:
        result = model.float()(**inputs)
    found = {f"hidden/{name}": value for name, value in hidden.items()}
    if kind in ("ForImageClassification", "ForSequenceClassification"):
        found["logits"] = result.logits.numpy()
    if getattr(result, "pooler_output", None) is not None:
        found["pooled"] = result.pooler_output.flatten(1).numpy()
    return found


def make_vit(name: str, kind: str, settings: dict) -> None:
    """Writes one ViT."""
    config = ViTConfig(**{**VIT, **settings})
    model, backbone = make(name, "ViT", kind, config)
    layers = {"embedding": backbone.embeddings, **every_block(backbone.encoder.layer), "norm": backbone.layernorm}
    inputs = images(name, 2, config.image_size)
    pixels = torch.from_numpy(inputs).permute(0, 3, 1, 2)
    size = {"height": config.image_size, "width": config.image_size}
    # Before the outputs, which turn the model into float32.
    save(name, model, {}, transformers.ViTImageProcessor(size=size, image_mean=[0.4, 0.5, 0.6]))
    found = outputs(model, layers, kind, pixel_values=pixels)
    np.savez_compressed(ROOT / name / "reference.npz", images=inputs, **found)
    if name != "vit_gelu":
        return
    others = {}
    for other in (8, 28):
        inputs = images(f"{name}/{other}", 2, other)
        pixels = torch.from_numpy(inputs).permute(0, 3, 1, 2)
        found = outputs(model, layers, kind, pixel_values=pixels, interpolate_pos_encoding=True)
        kept = {key: found[key] for key in ("logits", "hidden/embedding", "hidden/block1")}
        others |= {f"{other}/images": inputs} | {f"{other}/{key}": value for key, value in kept.items()}
    np.savez_compressed(ROOT / name / "resolutions.npz", **others)


def make_resnet(name: str, kind: str, settings: dict) -> None:
    """Writes one ResNet."""
    model, backbone = make(name, "ResNet", kind, ResNetConfig(**{**RESNET, **settings}))
    blocks = [block for stage in backbone.encoder.stages for block in stage.layers]
    inputs = images(name, 2, 22)
    pixels = torch.from_numpy(inputs).permute(0, 3, 1, 2)
    layers = {"embedding": backbone.embedder.embedder.normalization, **every_block(blocks)}
    found = outputs(model, layers, kind, pixel_values=pixels)
    processor = transformers.ConvNextImageProcessor(size={"shortest_edge": 22}, crop_pct=0.875)
    save(name, model, {"images": inputs, **found}, processor)


def make_bert(name: str, kind: str, settings: dict) -> None:
    """Writes one BERT."""
    config = BertConfig(**{**BERT, **settings})
    model, backbone = make(name, "Bert", kind, config)
    length, types, padding = config.max_position_embeddings, config.type_vocab_size, config.pad_token_id
    inputs = sentences(name, 3, length, config.vocab_size, types, padding)
    tensors = {key: torch.from_numpy(value).long() for key, value in inputs.items()}
    layers = {"embedding": backbone.embeddings, **every_block(backbone.encoder.layer)}
    if backbone.pooler is not None:
        layers["pooler"] = backbone.pooler.dense
    found = outputs(model, layers, kind, **tensors)
    if "hidden/pooler" in found:
        found["pooled"] = np.tanh(found["hidden/pooler"])
    unmasked = {key: value for key, value in tensors.items() if key == "input_ids"}
    without_mask = outputs(model, layers, kind, **unmasked)
    found |= {f"unmasked/{key}": without_mask[key] for key in ("logits", "hidden/block1") if key in without_mask}
    others = []
    if name == "bert_gelu":
        (ROOT / "vocab.txt").write_text(VOCABULARY.replace(" ", "\n") + "\n")
        others = [transformers.BertTokenizerFast(str(ROOT / "vocab.txt"), model_max_length=length)]
        (ROOT / "vocab.txt").unlink()
    save(name, model, inputs | found, *others)


if __name__ == "__main__":
    import_torchvision()
    for name, (kind, settings) in VITS.items():
        make_vit(name, kind, settings)
    for name, (kind, settings) in RESNETS.items():
        make_resnet(name, kind, settings)
    for name, (kind, settings) in BERTS.items():
        make_bert(name, kind, settings)
