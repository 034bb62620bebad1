"""BERT (Devlin et al. 2019, arXiv:1810.04805) as an encoder of token sequences, sized by its spec.

Parameters start as in its release (github.com/google-research/bert, ``modeling.py``): matrices and tables of a normal
of 0.02, truncated at two standard deviations, biases at zero, LayerNorm scales at one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from tlj.errors import InputError
from tlj.models.activations import Activations
from tlj.models.attention.kernels import XLA, Kernels
from tlj.models.attention.self_attention import SelfAttention
from tlj.models.layers import MLP, check_transformer
from tlj.models.rematerialise import call_block

POOLS = ("pooler", "first", "mean")

_INIT = nn.initializers.truncated_normal(0.02)


@dataclasses.dataclass(frozen=True)
class BERTSpec:
    """Sizes of a BERT; the defaults are BERT-base, uncased.

    Attributes:
      num_classes: outputs of the head.
      head_layers: widths of hidden layers of the head, with relu; none: the head is linear.
      vocabulary: number of token ids.
      width: width of the token stream.
      depth: number of blocks.
      heads: attention heads; divides ``width``.
      mlp_width: hidden width of a block's MLP; 0 means four times ``width``.
      activation: of the MLP, a key of ``tlj.models.layers.ACTIVATIONS``.
      epsilon: of every LayerNorm.
      positions: the longest sequence it takes.
      types: number of token types (segments).
      padding: the token id that stands where there is no token, from which data makes its mask; below ``vocabulary``.
      dropout: rate after the embedding and after each residual branch.
      attention_dropout: rate on the attention weights.
      head_dropout: rate on the features before the head; None: as ``dropout``.
      pool: ``"pooler"`` passes the first token through a dense layer and tanh, ``"first"`` takes it as it is,
        ``"mean"`` averages the real tokens.
    """

    num_classes: int = 2
    vocabulary: int = 30522
    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp_width: int = 0
    activation: str = "gelu"
    epsilon: float = 1e-12
    positions: int = 512
    types: int = 2
    padding: int = 0
    dropout: float = 0.1
    attention_dropout: float = 0.1
    head_dropout: float | None = None
    pool: str = "pooler"
    head_layers: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check_transformer(self.width, self.heads, self.activation, self.pool, POOLS)
        if self.padding >= self.vocabulary:
            raise InputError(
                f"padding {self.padding} is not one of {self.vocabulary} token ids",
                where="config.model.settings",
                do="choose an id below vocabulary",
            )

    def example(self, batch: int) -> dict[str, Int[Array, "batch length"]]:
        """Returns inputs of the right shapes and types, of the greatest length; every token is real."""
        shape = (batch, self.positions)
        return {"input_ids": jnp.zeros(shape, jnp.int32), "attention_mask": jnp.ones(shape, jnp.int32)}


class TokenEmbedding(nn.Module):
    """The sum of what a token is, where it stands and which segment it is in, normalised."""

    spec: BERTSpec
    dtype: jnp.dtype

    @nn.compact
    def __call__(
        self,
        ids: Int[Array, "batch length"],
        types: Int[Array, "batch length"],
        positions: Int[Array, "batch length"] | None,
        *,
        train: bool,
    ) -> Float[Array, "batch length width"]:
        spec, length = self.spec, ids.shape[1]
        if length > spec.positions:
            # Looked up all the same, the positions beyond the last would be NaN.
            raise InputError(
                f"{length} tokens, but the model has {spec.positions} positions", where="input_ids", do="cut the text"
            )

        def table(rows: int, name: str) -> nn.Embed:
            return nn.Embed(rows, spec.width, embedding_init=_INIT, dtype=self.dtype, name=name)

        tokens = table(spec.vocabulary, "word")(ids) + table(spec.types, "type")(types)
        positions = jnp.arange(length) if positions is None else positions
        tokens = tokens + table(spec.positions, "position")(positions)
        tokens = nn.LayerNorm(epsilon=spec.epsilon, dtype=self.dtype, name="norm")(tokens)
        return nn.Dropout(spec.dropout)(tokens, deterministic=not train)


class BERTBlock(nn.Module):
    """A post-norm transformer block: attention and MLP, each with a residual connection and then a LayerNorm."""

    spec: BERTSpec
    dtype: jnp.dtype
    kernels: Kernels = XLA

    @nn.compact
    def __call__(
        self,
        tokens: Float[Array, "batch length width"],
        mask: Bool[Array, "batch length"] | Bool[Array, "batch length length"],
        *,
        train: bool,
    ) -> Float[Array, "batch length width"]:
        spec = self.spec
        init = {"kernel_init": _INIT, "bias_init": nn.initializers.zeros}

        def add_and_norm(branch: Array, name: str) -> Array:
            branch = nn.Dropout(spec.dropout)(branch, deterministic=not train)
            return nn.LayerNorm(epsilon=spec.epsilon, dtype=self.dtype, name=name)(tokens + branch)

        attention = SelfAttention(
            spec.heads, self.dtype, dropout=spec.attention_dropout, kernels=self.kernels, name="attention", **init
        )
        tokens = add_and_norm(attention(tokens, mask, train=train), "attention_norm")
        mlp = MLP(spec.mlp_width or 4 * spec.width, spec.activation, dtype=self.dtype, name="mlp", **init)
        return add_and_norm(mlp(tokens, train=train), "mlp_norm")


class BERT(nn.Module):
    """The backbone: token sequences to one feature vector each.

    Blocks are a Python loop, so that a freeze boundary between two of them removes the backward pass below it; what of
    each is kept for the backward pass, ``remat`` says (``tlj.models.rematerialise``).
    """

    spec: BERTSpec
    dtype: jnp.dtype = jnp.float32
    remat: str = "none"
    kernels: Kernels = XLA

    @nn.compact
    def __call__(
        self,
        inputs: Mapping[str, Int[Array, "batch length"]] | Activations,
        *,
        train: bool = False,
        stop: int | None = None,
    ) -> Float[Array, "batch width"]:
        """Returns the features of a batch.

        Args:
          inputs: ``input_ids``; ``attention_mask``, 0 where there is no token (missing: every token is real);
            ``token_type_ids``, the segment of each token (missing: all 0). With ``segment_ids`` several sequences share
            a row, and there is a feature vector for each of ``example_row`` (``tlj.data.tokens.packing``). Or the
            activations to go on from, of sequences that have a row each.
          train: whether dropout is on.
          stop: the depth whose activations to return in place of the features; None goes through.
        """
        spec, first, packed = self.spec, 0, False
        if isinstance(inputs, Activations):
            first, tokens = inputs.depth, inputs.values.astype(self.dtype)
            if first == spec.depth:
                return tokens
            mask = inputs.mask != 0
        else:
            ids, packed = inputs["input_ids"], "segment_ids" in inputs
            if packed:
                # Padding looks at padding, which nobody reads.
                mask = inputs["segment_ids"][:, :, None] == inputs["segment_ids"][:, None, :]
            else:
                mask = inputs.get("attention_mask", jnp.ones_like(ids)) != 0
            types = inputs.get("token_type_ids", jnp.zeros_like(ids))
            embedding = TokenEmbedding(spec, self.dtype, name="embedding")
            tokens = embedding(ids, types, inputs["position_ids"] if packed else None, train=train)
        for i in range(first, spec.depth):
            if i == stop:
                return tokens
            block = BERTBlock(spec, self.dtype, self.kernels, name=f"block{i}")
            tokens = call_block(block, self.remat, tokens, mask, train=train)
        if spec.pool == "mean":
            features = (_packed_means(tokens, inputs) if packed else _means(tokens, mask)).astype(self.dtype)
        else:
            features = tokens[inputs["example_row"], inputs["example_start"]] if packed else tokens[:, 0]
        if spec.pool == "pooler":
            features = jnp.tanh(nn.Dense(spec.width, kernel_init=_INIT, dtype=self.dtype, name="pooler")(features))
        return features


def _means(
    tokens: Float[Array, "batch length width"], mask: Bool[Array, "batch length"]
) -> Float[Array, "batch width"]:
    """Of the real tokens of each row, in float32."""
    weights = mask[..., None].astype(jnp.float32)
    return (tokens * weights).sum(axis=1) / jnp.maximum(weights.sum(axis=1), 1)


def _packed_means(
    tokens: Float[Array, "rows length width"], inputs: Mapping[str, Array]
) -> Float[Array, "batch width"]:
    """Of the tokens of each example, in float32.

    A matrix product, not a scatter, which on a GPU would sum in any order.
    """
    row, start, length = (inputs[f"example_{name}"][:, None, None] for name in ("row", "start", "length"))
    place = jnp.arange(tokens.shape[1]) - start
    own = (jnp.arange(tokens.shape[0])[:, None] == row) & (place >= 0) & (place < length)
    total = jnp.einsum(
        "brl,rlw->bw", own.astype(jnp.float32), tokens.astype(jnp.float32), precision=jax.lax.Precision.HIGHEST
    )
    return total / inputs["example_length"][:, None]
