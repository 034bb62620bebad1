"""Layers that more than one family is built from, and the classifier that puts a head on a backbone.

Every stochastic layer and every BatchNorm takes its ``deterministic`` or ``use_running_average`` at the call, so that
the freezing room can switch it off by module path without the model knowing (``tlj.freezing.modes``).
"""

from __future__ import annotations

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "gelu": lambda x: nn.gelu(x, approximate=False),
    "gelu_tanh": lambda x: nn.gelu(x, approximate=True),
    "relu": nn.relu,
}


class SelfAttention(nn.Module):
    """Multi-head self-attention with the query, key and value projections in one matrix product.

    ``query_key_value`` holds the three kernels side by side; each is initialised with the fans of its own square matrix
    (Glorot uniform, Dosovitskiy et al. 2021, released code), as if it stood alone. Softmax runs in float32.
    """

    heads: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "batch length width"]) -> Float[Array, "batch length width"]:
        width = x.shape[-1]
        head_width = width // self.heads
        kernel = self.param(
            "query_key_value_kernel",
            nn.initializers.variance_scaling(1.0, "fan_avg", "uniform", in_axis=0, out_axis=2, batch_axis=1),
            (width, 3, width),
        )
        bias = self.param("query_key_value_bias", nn.initializers.zeros, (3, width))
        projected = x @ kernel.reshape(width, 3 * width).astype(self.dtype) + bias.reshape(-1).astype(self.dtype)
        query, key, value = (
            part.reshape(*x.shape[:2], self.heads, head_width) for part in jnp.split(projected, 3, axis=-1)
        )
        mixed = jax.nn.dot_product_attention(query, key, value).reshape(x.shape)
        return nn.Dense(width, kernel_init=nn.initializers.xavier_uniform(), dtype=self.dtype, name="out")(mixed)


class MLP(nn.Module):
    """Two dense layers with an activation between them (Glorot uniform, biases near zero, as in the ViT release)."""

    hidden: int
    activation: str = "gelu"
    dropout: float = 0.0
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*batch width"], *, train: bool) -> Float[Array, "*batch width"]:
        def dense(features: int, name: str) -> nn.Dense:
            return nn.Dense(
                features,
                kernel_init=nn.initializers.xavier_uniform(),
                bias_init=nn.initializers.normal(1e-6),
                dtype=self.dtype,
                name=name,
            )

        hidden = ACTIVATIONS[self.activation](dense(self.hidden, "up")(x))
        hidden = nn.Dropout(self.dropout)(hidden, deterministic=not train)
        return dense(x.shape[-1], "down")(hidden)


class Classifier(nn.Module):
    """A backbone and a linear head: the variables are ``backbone/...`` and ``head/...`` in every family.

    The head starts from a normal of standard deviation 0.02 and zero bias. Logits are float32 whatever the backbone
    computes in.
    """

    backbone: nn.Module
    num_classes: int

    @nn.compact
    def __call__(self, inputs: Array, *, train: bool = False) -> Float[Array, "batch classes"]:
        features = self.backbone(inputs, train=train)
        head = nn.Dense(self.num_classes, kernel_init=nn.initializers.normal(0.02), dtype=jnp.float32, name="head")
        return head(features.astype(jnp.float32))
