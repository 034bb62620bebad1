"""The residual network (He et al. 2015, arXiv:1512.03385), sized by its spec.

Parameters start as published: convolutions He normal over the fan out (He et al. 2015, arXiv:1502.01852, section 2.2),
the scale of the last norm of a block at zero (Goyal et al. 2017, arXiv:1706.02677, section 5.1), other scales at one
and biases at zero.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from tlj.errors import InputError
from tlj.models.activations import Activations
from tlj.models.convolution import convolution
from tlj.models.layers import ACTIVATIONS, check_choice
from tlj.models.rematerialise import call_block


@dataclasses.dataclass(frozen=True)
class ResNetSpec:
    """Sizes of a ResNet; the defaults are ResNet-50.

    Attributes:
      num_classes: outputs of the head.
      head_layers: widths of hidden layers of the head, with relu; none: the head is linear.
      image_size: height and width of the input in pixels.
      stem: ``"imagenet"`` is a 7x7 convolution of stride 2 and a 3x3 max pool of stride 2, ``"cifar"`` one 3x3
        convolution, for images of at most 64 pixels.
      stem_width: channels after the stem.
      block: ``"bottleneck"`` (1x1, 3x3, 1x1, four times the stage's width out) or ``"basic"`` (two 3x3).
      stage_depths: blocks per stage.
      stage_widths: inner width of each stage; the first block of every later stage halves the resolution.
      first_stage_stride: stride of the first stage's first block.
      bottleneck_stride: which convolution of a bottleneck has the block's stride: ``"second"`` is the 3x3
        (torchvision), ``"first"`` the first 1x1 (the paper).
      shortcut: where a block changes the width or the resolution, ``"projection"`` is a 1x1 convolution with its norm
        (the paper's option B), ``"padding"`` has no parameters: every stride-th pixel, and zeros for the new channels,
        half on each side (option A).
      activation: after the stem and after each sum, a key of ``tlj.models.layers.ACTIVATIONS``; inside a block it is
        ReLU always, as in transformers.
      momentum: of the running statistics of BatchNorm.
      epsilon: of BatchNorm.
    """

    num_classes: int = 1000
    image_size: int = 224
    stem: str = "imagenet"
    stem_width: int = 64
    block: str = "bottleneck"
    stage_depths: tuple[int, ...] = (3, 4, 6, 3)
    stage_widths: tuple[int, ...] = (64, 128, 256, 512)
    first_stage_stride: int = 1
    bottleneck_stride: str = "second"
    shortcut: str = "projection"
    activation: str = "relu"
    momentum: float = 0.9
    epsilon: float = 1e-5
    head_layers: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if len(self.stage_depths) != len(self.stage_widths):
            raise InputError(
                f"{len(self.stage_depths)} stage_depths but {len(self.stage_widths)} stage_widths",
                where="config.model.settings",
                do="give one of each per stage",
            )
        check_choice("stem", self.stem, ("imagenet", "cifar"))
        check_choice("block", self.block, ("basic", "bottleneck"))
        check_choice("shortcut", self.shortcut, ("projection", "padding"))
        check_choice("bottleneck_stride", self.bottleneck_stride, ("first", "second"))
        check_choice("activation", self.activation, ACTIVATIONS)
        if self.shortcut == "padding":
            self._check_padding()

    def _check_padding(self) -> None:
        widths = (self.stem_width, *(width * self.expansion for width in self.stage_widths))
        for before, after in itertools.pairwise(widths):
            if after < before or (after - before) % 2:
                raise InputError(
                    f"a shortcut by padding cannot go from {before} to {after} channels",
                    where="config.model.settings.shortcut",
                    nearest="projection",
                    do="use projection, or widths that grow by even numbers",
                )

    @property
    def expansion(self) -> int:
        """How many times its inner width a block gives."""
        return 4 if self.block == "bottleneck" else 1

    @property
    def depth(self) -> int:
        """Number of residual blocks."""
        return sum(self.stage_depths)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one input image."""
        return (self.image_size, self.image_size, 3)

    def example(self, batch: int) -> Float[Array, "batch height width 3"]:
        """Returns inputs of the right shape and type."""
        return jnp.zeros((batch, *self.input_shape), jnp.float32)


class ConvNorm(nn.Module):
    """A convolution without bias and its BatchNorm; He normal initialisation over the fan out (He et al. 2015)."""

    features: int
    kernel: int
    stride: int
    spec: ResNetSpec
    dtype: jnp.dtype
    axis_name: str | None = None
    scale_init: nn.initializers.Initializer = nn.initializers.ones

    @nn.compact
    def __call__(self, x: Float[Array, "batch h w channels"], *, train: bool) -> Float[Array, "batch h2 w2 features"]:
        pad = self.kernel // 2
        x = nn.Conv(
            self.features,
            (self.kernel, self.kernel),
            strides=(self.stride, self.stride),
            padding=[(pad, pad), (pad, pad)],
            use_bias=False,
            kernel_init=nn.initializers.variance_scaling(2.0, "fan_out", "normal"),
            dtype=self.dtype,
            conv_general_dilated=convolution,
            name="conv",
        )(x)
        norm = nn.BatchNorm(
            momentum=self.spec.momentum,
            epsilon=self.spec.epsilon,
            dtype=self.dtype,
            scale_init=self.scale_init,
            axis_name=self.axis_name,
            name="norm",
        )
        return norm(x, use_running_average=not train)


def padded_shortcut(
    x: Float[Array, "batch h w channels"], features: int, stride: int
) -> Float[Array, "batch h2 w2 features"]:
    """Returns every ``stride``-th pixel with zeros for the new channels, half on each side (He et al. 2015, option A).

    Args:
      x: what the block takes.
      features: channels that the block gives; more than those of ``x`` by an even number, or as many.
      stride: of the block, in pixels.
    """
    more = (features - x.shape[-1]) // 2
    return jnp.pad(x[:, ::stride, ::stride], ((0, 0), (0, 0), (0, 0), (more, more)))


class ResNetBlock(nn.Module):
    """A residual block; the last norm's scale starts at zero, so it starts as its shortcut (Goyal et al. 2017)."""

    width: int
    stride: int
    spec: ResNetSpec
    dtype: jnp.dtype
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "batch h w channels"], *, train: bool) -> Float[Array, "batch h2 w2 features"]:
        conv = functools.partial(ConvNorm, spec=self.spec, dtype=self.dtype, axis_name=self.axis_name)
        zeros = nn.initializers.zeros
        out_width = self.width * self.spec.expansion
        if self.spec.block == "basic":
            y = nn.relu(conv(self.width, 3, self.stride, name="conv0")(x, train=train))
            y = conv(out_width, 3, 1, scale_init=zeros, name="conv1")(y, train=train)
        else:
            first, second = (self.stride, 1) if self.spec.bottleneck_stride == "first" else (1, self.stride)
            y = nn.relu(conv(self.width, 1, first, name="conv0")(x, train=train))
            y = nn.relu(conv(self.width, 3, second, name="conv1")(y, train=train))
            y = conv(out_width, 1, 1, scale_init=zeros, name="conv2")(y, train=train)
        # Of an image of one pixel a stride changes nothing, yet the block has its projection.
        if x.shape[-1] != out_width or self.stride != 1:
            if self.spec.shortcut == "projection":
                x = conv(out_width, 1, self.stride, name="shortcut")(x, train=train)
            else:
                x = padded_shortcut(x, out_width, self.stride)
        return ACTIVATIONS[self.spec.activation](x + y)


class ResNet(nn.Module):
    """The backbone: images to one feature vector each (mean over positions).

    What of each block is kept for the backward pass, ``remat`` says (``tlj.models.rematerialise``). In a program that
    is mapped over devices, ``axis_name`` is that of the map, and norms take the statistics of the batch over it.
    """

    spec: ResNetSpec
    dtype: jnp.dtype = jnp.float32
    remat: str = "none"
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self,
        images: Float[Array, "batch height width 3"] | Activations,
        *,
        train: bool = False,
        stop: int | None = None,
    ) -> Float[Array, "batch features"]:
        """Returns the features of a batch.

        Args:
          images: the inputs, or the activations to go on from.
          train: whether norms take the statistics of the batch.
          stop: the depth whose activations to return in their place; None goes through.
        """
        spec = self.spec
        if isinstance(images, Activations):
            first, x = images.depth, images.values.astype(self.dtype)
            if first == spec.depth:
                return x
        else:
            first, x = 0, self._stem(images, train=train)
        index = 0
        for stage, (blocks, width) in enumerate(zip(spec.stage_depths, spec.stage_widths, strict=True)):
            for i in range(blocks):
                if index == stop:
                    return x
                if index >= first:
                    stride = 1 if i else (2 if stage else spec.first_stage_stride)
                    block = ResNetBlock(width, stride, spec, self.dtype, self.axis_name, name=f"block{index}")
                    x = call_block(block, self.remat, x, train=train)
                index += 1
        return x.mean(axis=(1, 2))

    def _stem(self, images: Float[Array, "batch height width 3"], *, train: bool) -> Float[Array, "batch h w channels"]:
        """What stands before the blocks: a convolution with its norm and, for large images, a pool."""
        spec = self.spec
        kernel, stride = (7, 2) if spec.stem == "imagenet" else (3, 1)
        stem = ConvNorm(spec.stem_width, kernel, stride, spec, self.dtype, self.axis_name, name="embedding")
        x = ACTIVATIONS[spec.activation](stem(images.astype(self.dtype), train=train))
        if spec.stem == "imagenet":
            x = nn.max_pool(x, (3, 3), strides=(2, 2), padding=[(1, 1), (1, 1)])
        return x
