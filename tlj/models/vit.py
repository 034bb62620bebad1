"""The Vision Transformer (Dosovitskiy et al. 2021, arXiv:2010.11929), sized by its spec.

Parameters start as in its release (github.com/google-research/vision_transformer, ``models_vit.py``): Glorot uniform
matrices, MLP biases of a normal of 1e-6, the patch projection and the pooler truncated LeCun normal, positions of a
normal of 0.02, the rest at zero and LayerNorm scales at one.
"""

from __future__ import annotations

import dataclasses

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from tlj.errors import InputError
from tlj.models.activations import Activations
from tlj.models.attention.kernels import XLA, Kernels
from tlj.models.attention.self_attention import SelfAttention
from tlj.models.layers import MLP, check_transformer
from tlj.models.rematerialise import call_block

POOLS = ("first", "mean", "pooler")


@dataclasses.dataclass(frozen=True)
class ViTSpec:
    """Sizes of a ViT; the defaults are ViT-B/16.

    Attributes:
      num_classes: outputs of the head.
      head_layers: widths of hidden layers of the head, with relu; none: the head is linear.
      image_size: height and width of the input in pixels.
      patch_size: height and width of a patch in pixels; divides ``image_size``.
      width: width of the token stream.
      depth: number of blocks.
      heads: attention heads; divides ``width``.
      mlp_width: hidden width of a block's MLP; 0 means four times ``width``.
      activation: of the MLP, a key of ``tlj.models.layers.ACTIVATIONS``.
      epsilon: of every LayerNorm.
      qkv_bias: whether query, key and value have biases.
      class_token: whether a learned token stands before the patches; without it only ``"mean"`` can pool.
      pool: ``"first"`` takes the class token, ``"mean"`` averages the patch tokens (never the class token),
        ``"pooler"`` passes the class token through a dense layer and tanh.
      dropout: rate after the embedding, in the MLP and after each residual branch.
      attention_dropout: rate on the attention weights.
      mlp_dropout: whether ``dropout`` acts on the hidden layer of the MLP, too, as in the release; transformers' ViT
        has none there.
      stochastic_depth: rate at which a sample skips a residual branch of the last block; earlier blocks linearly less.
    """

    num_classes: int = 1000
    image_size: int = 224
    patch_size: int = 16
    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp_width: int = 0
    activation: str = "gelu"
    epsilon: float = 1e-6
    qkv_bias: bool = True
    class_token: bool = True
    pool: str = "first"
    dropout: float = 0.0
    attention_dropout: float = 0.0
    mlp_dropout: bool = True
    stochastic_depth: float = 0.0
    head_layers: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.image_size % self.patch_size:
            raise InputError(
                f"patch_size {self.patch_size} does not divide image_size {self.image_size}",
                where="config.model.settings",
                do="choose a patch_size that divides it",
            )
        check_transformer(self.width, self.heads, self.activation, self.pool, POOLS)
        if not self.class_token and self.pool != "mean":
            raise InputError(
                f"pool {self.pool!r} takes the class token, but class_token is False",
                where="config.model.settings.pool",
                nearest="mean",
                do="pool by mean, or keep the class token",
            )

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one input image."""
        return (self.image_size, self.image_size, 3)

    def example(self, batch: int) -> Float[Array, "batch height width 3"]:
        """Returns inputs of the right shape and type."""
        return jnp.zeros((batch, *self.input_shape), jnp.float32)


class PatchEmbedding(nn.Module):
    """Cuts the image into patches, projects them, prepends the class token, if there is one, and adds positions."""

    spec: ViTSpec
    dtype: jnp.dtype

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width 3"], *, train: bool
    ) -> Float[Array, "batch length width"]:
        spec = self.spec
        patch = (spec.patch_size, spec.patch_size)
        tokens = nn.Conv(spec.width, patch, strides=patch, padding="VALID", dtype=self.dtype, name="patch")(images)
        tokens = tokens.reshape(images.shape[0], -1, spec.width)
        if spec.class_token:
            token = self.param("class_token", nn.initializers.zeros, (1, 1, spec.width)).astype(self.dtype)
            tokens = jnp.concatenate([jnp.broadcast_to(token, (images.shape[0], 1, spec.width)), tokens], axis=1)
        position = self.param("position", nn.initializers.normal(0.02), (1, *tokens.shape[1:]))
        return nn.Dropout(spec.dropout)(tokens + position.astype(self.dtype), deterministic=not train)


class ViTBlock(nn.Module):
    """A pre-norm transformer block: attention and MLP, each behind a LayerNorm and a residual connection."""

    spec: ViTSpec
    skip_rate: float
    dtype: jnp.dtype
    kernels: Kernels = XLA

    @nn.compact
    def __call__(
        self, tokens: Float[Array, "batch length width"], *, train: bool
    ) -> Float[Array, "batch length width"]:
        spec = self.spec

        def residual(branch: Array) -> Array:
            branch = nn.Dropout(spec.dropout)(branch, deterministic=not train)
            return nn.Dropout(self.skip_rate, broadcast_dims=(1, 2))(branch, deterministic=not train)

        def norm(name: str) -> nn.LayerNorm:
            return nn.LayerNorm(epsilon=spec.epsilon, dtype=self.dtype, name=name)

        settings = dict(qkv_bias=spec.qkv_bias, dropout=spec.attention_dropout, kernels=self.kernels)
        attention = SelfAttention(spec.heads, self.dtype, **settings, name="attention")
        tokens = tokens + residual(attention(norm("attention_norm")(tokens), train=train))
        hidden_dropout = spec.dropout if spec.mlp_dropout else 0.0
        mlp = MLP(spec.mlp_width or 4 * spec.width, spec.activation, hidden_dropout, self.dtype, name="mlp")
        return tokens + residual(mlp(norm("mlp_norm")(tokens), train=train))


class ViT(nn.Module):
    """The backbone: images to one feature vector each.

    Blocks are a Python loop, so that a freeze boundary between two of them removes the backward pass below it; what of
    each is kept for the backward pass, ``remat`` says (``tlj.models.rematerialise``).
    """

    spec: ViTSpec
    dtype: jnp.dtype = jnp.float32
    remat: str = "none"
    kernels: Kernels = XLA

    @nn.compact
    def __call__(
        self,
        images: Float[Array, "batch height width 3"] | Activations,
        *,
        train: bool = False,
        stop: int | None = None,
    ) -> Float[Array, "batch width"]:
        """Returns the features of a batch.

        Args:
          images: the inputs, or the activations to go on from.
          train: whether dropout and stochastic depth are on.
          stop: the depth whose activations to return in their place; None goes through.
        """
        spec = self.spec
        if isinstance(images, Activations):
            first, tokens = images.depth, images.values.astype(self.dtype)
            if first == spec.depth:
                return tokens
        else:
            embedding = PatchEmbedding(spec, self.dtype, name="embedding")
            first, tokens = 0, embedding(images.astype(self.dtype), train=train)
        for i in range(first, spec.depth):
            if i == stop:
                return tokens
            rate = spec.stochastic_depth * i / max(spec.depth - 1, 1)
            block = ViTBlock(spec, rate, self.dtype, self.kernels, name=f"block{i}")
            tokens = call_block(block, self.remat, tokens, train=train)
        tokens = nn.LayerNorm(epsilon=spec.epsilon, dtype=self.dtype, name="norm")(tokens)
        if spec.pool == "mean":
            return tokens[:, int(spec.class_token) :].mean(axis=1)
        if spec.pool == "pooler":
            return jnp.tanh(nn.Dense(spec.width, dtype=self.dtype, name="pooler")(tokens[:, 0]))
        return tokens[:, 0]
