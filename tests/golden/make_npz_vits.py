"""Makes ViTs in the npz layouts of google-research/vision_transformer and of big_vision, with their logits.

Run with jax 0.10.2 and flax 0.12.8 installed; with torch, torchvision and timm as well, the logits are compared with
those of timm's own reader of such files:

    python tests/golden/make_npz_vits.py

Writes ``tests/golden/checkpoints/NAME.npz`` (the checkpoint) and ``NAME_reference.npz`` (``images`` NHWC, ``logits``,
``features`` before the head, and ``hidden/NAME`` by the names of tlj's layers). The forward pass is written here with
Flax's own layers, whose default names and default settings (epsilon 1e-6, tanh GELU) are what those files hold.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib

os.environ["JAX_PLATFORMS"] = "cpu"

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from random_weights import generator, images, values

ROOT = pathlib.Path(__file__).parent / "checkpoints"
WIDTH, HEADS, MLP_WIDTH, DEPTH, PATCH, SIZE, CLASSES = 16, 2, 24, 2, 4, 16, 5


@dataclasses.dataclass(frozen=True)
class Layout:
    """What tells one file from another.

    Attributes:
      big_vision: whether the names are those of big_vision, where positions are added before the class token is put
        in front; else those of vision_transformer, where the class token has a position, too.
      pool: ``"tok"`` or ``"gap"``, the mean of the patch tokens.
      representation: whether a dense layer and tanh stand before the head.
      prefix: of all names.
      scanned: whether the blocks are stacked along a leading axis.
    """

    big_vision: bool
    pool: str = "tok"
    representation: bool = False
    prefix: str = ""
    scanned: bool = False


LAYOUTS = {
    "npz_augreg": Layout(big_vision=False),
    "npz_representation": Layout(big_vision=False, representation=True),
    "npz_target": Layout(big_vision=False, prefix="opt/target/"),
    "npz_big_vision_gap": Layout(big_vision=True, pool="gap", prefix="params/"),
    "npz_big_vision_scanned": Layout(big_vision=True, pool="gap", scanned=True),
    "npz_big_vision_tok": Layout(big_vision=True, prefix="params/"),
    "npz_big_vision_representation": Layout(big_vision=True, representation=True, prefix="params/img/"),
}


class MlpBlock(nn.Module):
    """The MLP of a block."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return nn.Dense(WIDTH, name="Dense_1")(nn.gelu(nn.Dense(MLP_WIDTH, name="Dense_0")(x)))


class EncoderBlock(nn.Module):
    """A block; the two code bases count its layers differently."""

    big_vision: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        attention, second, mlp = (0, 1, 0) if self.big_vision else (1, 2, 3)
        y = nn.LayerNorm(name="LayerNorm_0")(x)
        name = f"MultiHeadDotProductAttention_{attention}"
        x = x + nn.MultiHeadDotProductAttention(HEADS, deterministic=True, name=name)(y, y)
        return x + MlpBlock(name=f"MlpBlock_{mlp}")(nn.LayerNorm(name=f"LayerNorm_{second}")(x))


class Positions(nn.Module):
    """Position embeddings as a layer of their own, as vision_transformer has them."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return x + self.param("pos_embedding", nn.initializers.normal(), (1, *x.shape[1:]))


class Encoder(nn.Module):
    """Blocks and the last norm; also returns what each of them gives."""

    big_vision: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        if not self.big_vision:
            x = Positions(name="posembed_input")(x)
        hidden = {"embedding": x}
        for i in range(DEPTH):
            x = hidden[f"block{i}"] = EncoderBlock(self.big_vision, name=f"encoderblock_{i}")(x)
        x = hidden["norm"] = nn.LayerNorm(name="encoder_norm")(x)
        return x, hidden


class ViT(nn.Module):
    """The classifier of either code base; gives logits, features and hidden states."""

    layout: Layout

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array, dict[str, jax.Array]]:
        layout = self.layout
        x = nn.Conv(WIDTH, (PATCH, PATCH), strides=(PATCH, PATCH), padding="VALID", name="embedding")(x)
        x = x.reshape(len(x), -1, WIDTH)
        if layout.big_vision:
            x = x + self.param("pos_embedding", nn.initializers.normal(), (1, *x.shape[1:]))
        if layout.pool == "tok":
            token = self.param("cls", nn.initializers.zeros, (1, 1, WIDTH))
            x = jnp.concatenate([jnp.tile(token, (len(x), 1, 1)), x], axis=1)
        x, hidden = Encoder(layout.big_vision, name="Transformer")(x)
        x = x[:, 0] if layout.pool == "tok" else x.mean(axis=1)
        if layout.representation:
            x = nn.tanh(nn.Dense(WIDTH, name="pre_logits")(x))
        return nn.Dense(CLASSES, name="head")(x), x, hidden


def stored_names(layout: Layout, flat: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the arrays as a file of the layout holds them."""
    if layout.scanned:
        start = "Transformer/encoderblock_0/"
        for name in [name for name in flat if name.startswith(start)]:
            parts = [flat.pop(name.replace("_0/", f"_{i}/", 1)) for i in range(DEPTH)]
            flat[name.replace(start, "Transformer/encoderblock/")] = np.stack(parts)
    stored = {layout.prefix + name: value for name, value in flat.items()}
    if layout.prefix == "opt/target/":
        # What a whole training state holds beside the weights.
        stored |= {"opt/state/step": np.int32(7), "opt/state/param_states/cls/grad_ema": np.zeros((1, 1, WIDTH), "f4")}
    return stored


def compare_with_timm(path: pathlib.Path, layout: Layout, inputs: np.ndarray, logits: np.ndarray) -> str:
    """Returns how far timm's reading of a file is from the logits, or why it was not tried."""
    try:
        import torch
        from torch_parts import import_torchvision
    except ImportError:
        return "no torch"
    if layout.representation:
        return "timm drops pre_logits"
    import_torchvision()
    from timm.models.vision_transformer import VisionTransformer

    model = VisionTransformer(
        SIZE,
        PATCH,
        num_classes=CLASSES,
        embed_dim=WIDTH,
        depth=DEPTH,
        num_heads=HEADS,
        mlp_ratio=MLP_WIDTH / WIDTH,
        act_layer=functools.partial(torch.nn.GELU, approximate="tanh"),
        class_token=layout.pool == "tok",
        no_embed_class=layout.big_vision,
        global_pool="token" if layout.pool == "tok" else "avg",
        fc_norm=False,
    ).eval()
    model.load_pretrained(str(path))
    with torch.no_grad():
        theirs = model(torch.from_numpy(inputs).permute(0, 3, 1, 2)).numpy()
    difference = float(np.abs(theirs - logits).max())
    assert difference < 1e-4, difference
    return f"timm within {difference:.1e}"


def make(name: str, layout: Layout) -> None:
    """Writes one file and its reference."""
    model, inputs = ViT(layout), images(name, 2, SIZE)
    shapes = jax.eval_shape(model.init, jax.random.key(0), inputs)["params"]
    rng = generator(name)
    flat = traverse_util.flatten_dict(shapes, sep="/")
    flat = {path: values(path, leaf.shape, rng) for path, leaf in flat.items()}
    logits, features, hidden = model.apply({"params": traverse_util.unflatten_dict(flat, sep="/")}, inputs)
    path = ROOT / f"{name}.npz"
    np.savez(path, **stored_names(layout, dict(flat)))
    states = {f"hidden/{layer}": np.asarray(value) for layer, value in hidden.items()}
    reference = {"images": inputs, "logits": np.asarray(logits), "features": np.asarray(features), **states}
    np.savez_compressed(ROOT / f"{name}_reference.npz", **reference)
    print(f"{name}: {compare_with_timm(path, layout, inputs, np.asarray(logits))}")


if __name__ == "__main__":
    for name, layout in LAYOUTS.items():
        make(name, layout)
