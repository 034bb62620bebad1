"""Layers that more than one family is built from, and the classifier that puts a head on a backbone.

Every stochastic layer and every BatchNorm takes its ``deterministic`` or ``use_running_average`` at the call, so that
the freezing room can switch it off by module path without the model knowing (``tlj.freezing.modes``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from tlj.errors import InputError, unknown_name
from tlj.models.activations import Activations

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "gelu": lambda x: nn.gelu(x, approximate=False),
    "gelu_tanh": lambda x: nn.gelu(x, approximate=True),
    "relu": nn.relu,
}


def _in_parts(
    init: nn.initializers.Initializer, parts: int, shape: tuple[int, ...], axis: int
) -> Callable[[Key[Array, ""]], Array]:
    """An initialiser that draws every part by itself, each with its own key, and stacks them."""
    draw = jax.vmap(lambda key: init(key, shape, jnp.float32), out_axes=axis)
    return lambda key: draw(jax.random.split(key, parts))


def check_choice(setting: str, value: str, choices: Collection[str]) -> None:
    """Checks a setting that is one of a few names.

    Args:
      setting: its name, for example ``"pool"``.
      value: what was given.
      choices: what there is.

    Raises:
      InputError: where the value is none of them.
    """
    if value not in choices:
        raise unknown_name(setting, value, choices, where=f"config.model.settings.{setting}")


def check_transformer(width: int, heads: int, activation: str, pool: str, pools: Sequence[str]) -> None:
    """Checks the sizes that transformers of every family have.

    Raises:
      InputError: where the heads do not divide the width, or an activation or a pooling does not exist.
    """
    if width % heads:
        raise InputError(
            f"heads {heads} does not divide width {width}",
            where="config.model.settings",
            do="choose heads that divide it",
        )
    check_choice("pool", pool, pools)
    check_choice("activation", activation, ACTIVATIONS)


class FusedDense(nn.Module):
    """Dense layers of one input, each with a name, computed as one matrix product.

    It stands for ``[nn.Dense(features, name=part)(x) for part in parts]`` stacked along the axis before the last. Each
    part is initialised as if it stood alone, with the fans of its own matrix.

    Attributes:
      parts: the names of the layers, in order.
      features: outputs of each.
      dtype: of the product; parameters are float32.
      kernel_init: of one part's matrix, (in, features).
      bias_init: of one part's bias, (features,).
      use_bias: whether there are biases.
    """

    parts: tuple[str, ...]
    features: int
    dtype: jnp.dtype = jnp.float32
    kernel_init: nn.initializers.Initializer = nn.initializers.xavier_uniform()
    bias_init: nn.initializers.Initializer = nn.initializers.zeros
    use_bias: bool = True

    @nn.compact
    def __call__(self, x: Float[Array, "*batch in"]) -> Float[Array, "*batch parts features"]:
        count, inputs = len(self.parts), x.shape[-1]
        kernel = self.param("kernel", _in_parts(self.kernel_init, count, (inputs, self.features), axis=1))
        product = x.astype(self.dtype) @ kernel.reshape(inputs, count * self.features).astype(self.dtype)
        if self.use_bias:
            bias = self.param("bias", _in_parts(self.bias_init, count, (self.features,), axis=0))
            product = product + bias.reshape(-1).astype(self.dtype)
        return product.reshape(*x.shape[:-1], count, self.features)


def _attention_with_dropout(
    query: Float[Array, "batch length heads head_width"],
    key: Float[Array, "batch length heads head_width"],
    value: Float[Array, "batch length heads head_width"],
    mask: Bool[Array, "batch 1 #length length"] | None,
    drop: Callable[[Array], Array],
) -> Float[Array, "batch length heads head_width"]:
    """``jax.nn.dot_product_attention``, which has no dropout, written out with ``drop`` on the weights."""
    scores = jnp.einsum("bqhd,bkhd->bhqk", query, key, preferred_element_type=jnp.float32)
    scores = scores * query.shape[-1] ** -0.5
    if mask is not None:
        # Finite, so that a sequence without any real token is not NaN.
        scores = jnp.where(mask, scores, jnp.finfo(scores.dtype).min / 2)
    weights = drop(jax.nn.softmax(scores).astype(query.dtype))
    return jnp.einsum("bhqk,bkhd->bqhd", weights, value)


class SelfAttention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017) with query, key and value in one matrix product.

    Softmax runs in float32. Matrices start Glorot uniform and biases at zero, as in the ViT release, unless told.

    Attributes:
      heads: divides the width.
      dtype: what it computes in.
      qkv_bias: whether query, key and value have biases.
      dropout: rate at which attention weights are dropped in training.
      kernel_init: of each of the four square matrices.
      bias_init: of each of their biases.
    """

    heads: int
    dtype: jnp.dtype = jnp.float32
    qkv_bias: bool = True
    dropout: float = 0.0
    kernel_init: nn.initializers.Initializer = nn.initializers.xavier_uniform()
    bias_init: nn.initializers.Initializer = nn.initializers.zeros

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch length width"],
        mask: Bool[Array, "batch length"] | Bool[Array, "batch length length"] | None = None,
        *,
        train: bool = False,
    ) -> Float[Array, "batch length width"]:
        """Mixes the tokens of each sequence.

        Args:
          x: the tokens.
          mask: False where nobody looks (padding); with three axes, where a token (second) does not look (third).
          train: whether dropout is on.
        """
        width = x.shape[-1]
        init = {"kernel_init": self.kernel_init, "bias_init": self.bias_init}
        parts = ("query", "key", "value")
        projection = FusedDense(parts, width, self.dtype, use_bias=self.qkv_bias, name="query_key_value", **init)
        # A split, not three slices: its backward pass is one concatenation.
        query, key, value = (
            part.reshape(*x.shape[:2], self.heads, width // self.heads)
            for part in jnp.split(projection(x).reshape(*x.shape[:2], 3 * width), 3, axis=-1)
        )
        looks = None if mask is None else mask[:, None, None, :] if mask.ndim == 2 else mask[:, None]
        if self.dropout and train:
            dropout = nn.Dropout(self.dropout)
            mixed = _attention_with_dropout(query, key, value, looks, lambda w: dropout(w, deterministic=not train))
        else:
            mixed = jax.nn.dot_product_attention(query, key, value, mask=looks)
        return nn.Dense(width, dtype=self.dtype, name="out", **init)(mixed.reshape(x.shape))


class MLP(nn.Module):
    """Two dense layers with an activation between them (Glorot uniform, biases near zero, as in the ViT release)."""

    hidden: int
    activation: str = "gelu"
    dropout: float = 0.0
    dtype: jnp.dtype = jnp.float32
    kernel_init: nn.initializers.Initializer = nn.initializers.xavier_uniform()
    bias_init: nn.initializers.Initializer = nn.initializers.normal(1e-6)

    @nn.compact
    def __call__(self, x: Float[Array, "*batch width"], *, train: bool) -> Float[Array, "*batch width"]:
        def dense(features: int, name: str) -> nn.Dense:
            return nn.Dense(
                features, kernel_init=self.kernel_init, bias_init=self.bias_init, dtype=self.dtype, name=name
            )

        hidden = ACTIVATIONS[self.activation](dense(self.hidden, "up")(x))
        hidden = nn.Dropout(self.dropout)(hidden, deterministic=not train)
        return dense(x.shape[-1], "down")(hidden)


class Head(nn.Module):
    """A head of several layers, float32: ``head/hidden0`` and so on with relu, then a linear one as heads have it.

    Args:
      num_classes: outputs.
      layers: widths of the hidden layers.
    """

    num_classes: int
    layers: tuple[int, ...]

    @nn.compact
    def __call__(self, features: Float[Array, "batch features"]) -> Float[Array, "batch classes"]:
        for i, width in enumerate(self.layers):
            hidden = nn.Dense(width, kernel_init=nn.initializers.he_normal(), dtype=jnp.float32, name=f"hidden{i}")
            features = nn.relu(hidden(features))
        last = nn.Dense(self.num_classes, kernel_init=nn.initializers.normal(0.02), dtype=jnp.float32, name="last")
        return last(features)


class Classifier(nn.Module):
    """A backbone and a head: the variables are ``backbone/...`` and ``head/...`` in every family.

    The head is linear, or has hidden ``layers``. It starts from a normal of standard deviation 0.02 and zero bias in
    every family, so that twins share it; ``dropout`` is of what it reads. Logits are float32 whatever the backbone
    computes in. Without classes (``num_classes`` 0) there is no head, and what it would have read is returned in
    float32; so are the activations at a depth to ``stop`` at. ``Activations`` in place of inputs are gone on from.
    """

    backbone: nn.Module
    num_classes: int
    dropout: float = 0.0
    layers: tuple[int, ...] = ()

    @nn.compact
    def __call__(
        self, inputs: Array | Mapping[str, Array] | Activations, *, train: bool = False, stop: int | None = None
    ) -> Float[Array, "batch classes"]:
        # A backbone that nobody stops need not know how to.
        features = self.backbone(inputs, train=train, **({} if stop is None else {"stop": stop}))
        if not self.num_classes or stop is not None:
            return features.astype(jnp.float32)
        features = nn.Dropout(self.dropout, name="head_dropout")(features, deterministic=not train)
        if self.layers:
            return Head(self.num_classes, self.layers, name="head")(features.astype(jnp.float32))
        head = nn.Dense(self.num_classes, kernel_init=nn.initializers.normal(0.02), dtype=jnp.float32, name="head")
        return head(features.astype(jnp.float32))
