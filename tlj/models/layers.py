"""Layers that more than one family is built from, and the classifier that puts a head on a backbone.

Every stochastic layer and every BatchNorm takes its ``deterministic`` or ``use_running_average`` at the call, so that
the freezing room can switch it off by module path without the model knowing (``tlj.freezing.modes``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from tlj.errors import InputError, unknown_name
from tlj.models.activations import Activations


def _gelu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The GELU (Hendrycks and Gimpel 2016, arXiv:1606.08415) by ``erf``, which is one polynomial.

    ``jax.nn.gelu`` takes ``erfc``, which is two and an exponential, for the last bits of values next to nothing.
    """
    return 0.5 * x * (1 + jax.lax.erf(x * np.asarray(2**-0.5, x.dtype)))


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "gelu": _gelu,
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


def product(
    x: Float[Array, "*batch in"],
    kernel: Float[Array, "in out"],
    dimensions: jax.lax.DotDimensionNumbers | None = None,
    precision: jax.lax.PrecisionLike = None,
    preferred_element_type: jnp.dtype | None = None,
) -> Float[Array, "*batch out"]:
    """``x @ kernel``, whose gradients are products of what is there, in the order it is in.

    JAX writes the gradient of a kernel as the transposition of a product, for which XLA on CPU copies one of the
    factors, the other way round. It is called as ``nn.Dense`` calls its ``dot_general``.

    Args:
      x: inputs.
      kernel: of the layer.
      dimensions: those of a dense layer; there are no others.
      precision: that of JAX's default.
      preferred_element_type: that of the inputs.
    """
    return _product(x.reshape(-1, x.shape[-1]), kernel).reshape(*x.shape[:-1], kernel.shape[-1])


@jax.custom_vjp
def _product(x: Float[Array, "rows in"], kernel: Float[Array, "in out"]) -> Float[Array, "rows out"]:
    return x @ kernel


def _product_backward(
    kept: tuple[Float[Array, "rows in"], Float[Array, "in out"]], gradient: Float[Array, "rows out"]
) -> tuple[Float[Array, "rows in"], Float[Array, "in out"]]:
    x, kernel = kept
    of_x = jax.lax.dot_general(gradient, kernel, (((1,), (1,)), ((), ())))
    return of_x, jax.lax.dot_general(x, gradient, (((0,), (0,)), ((), ())))


_product.defvjp(lambda x, kernel: (x @ kernel, (x, kernel)), _product_backward)


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
        outputs = product(x.astype(self.dtype), kernel.reshape(inputs, count * self.features).astype(self.dtype))
        if self.use_bias:
            bias = self.param("bias", _in_parts(self.bias_init, count, (self.features,), axis=0))
            outputs = outputs + bias.reshape(-1).astype(self.dtype)
        return outputs.reshape(*x.shape[:-1], count, self.features)


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
            init = {"kernel_init": self.kernel_init, "bias_init": self.bias_init}
            return nn.Dense(features, dtype=self.dtype, dot_general=product, name=name, **init)

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
