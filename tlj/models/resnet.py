"""The residual network (He et al. 2015, arXiv:1512.03385), sized by its spec."""

from __future__ import annotations

import dataclasses
import functools

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from tlj.errors import InputError


@dataclasses.dataclass(frozen=True)
class ResNetSpec:
    """Sizes of a ResNet; the defaults are ResNet-50.

    Attributes:
      num_classes: outputs of the head.
      image_size: height and width of the input in pixels.
      stem: ``"imagenet"`` is a 7x7 convolution of stride 2 and a 3x3 max pool of stride 2, ``"small"`` one 3x3
        convolution, for images of at most 64 pixels.
      stem_width: channels after the stem.
      block: ``"bottleneck"`` (1x1, 3x3, 1x1, four times the stage's width out) or ``"basic"`` (two 3x3).
      stage_depths: blocks per stage.
      stage_widths: width of each stage; the first block of every later stage halves the resolution.
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
    momentum: float = 0.9
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        where = "config.model.settings"
        if len(self.stage_depths) != len(self.stage_widths):
            raise InputError(
                f"{len(self.stage_depths)} stage_depths but {len(self.stage_widths)} stage_widths",
                where=where,
                do="give one of each per stage",
            )
        if self.stem not in ("imagenet", "small"):
            raise InputError(f"unknown stem {self.stem!r}", where=where, do="use imagenet or small")
        if self.block not in ("basic", "bottleneck"):
            raise InputError(f"unknown block {self.block!r}", where=where, do="use basic or bottleneck")

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
            name="conv",
        )(x)
        norm = nn.BatchNorm(
            momentum=self.spec.momentum,
            epsilon=self.spec.epsilon,
            dtype=self.dtype,
            scale_init=self.scale_init,
            name="norm",
        )
        return norm(x, use_running_average=not train)


class ResNetBlock(nn.Module):
    """A residual block; the last norm's scale starts at zero, so it starts as its shortcut (Goyal et al. 2017)."""

    width: int
    stride: int
    spec: ResNetSpec
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Float[Array, "batch h w channels"], *, train: bool) -> Float[Array, "batch h2 w2 features"]:
        conv = functools.partial(ConvNorm, spec=self.spec, dtype=self.dtype)
        zeros = nn.initializers.zeros
        if self.spec.block == "basic":
            out_width = self.width
            y = nn.relu(conv(self.width, 3, self.stride, name="conv0")(x, train=train))
            y = conv(out_width, 3, 1, scale_init=zeros, name="conv1")(y, train=train)
        else:
            out_width = 4 * self.width
            y = nn.relu(conv(self.width, 1, 1, name="conv0")(x, train=train))
            y = nn.relu(conv(self.width, 3, self.stride, name="conv1")(y, train=train))
            y = conv(out_width, 1, 1, scale_init=zeros, name="conv2")(y, train=train)
        if x.shape != y.shape:
            x = conv(out_width, 1, self.stride, name="shortcut")(x, train=train)
        return nn.relu(x + y)


class ResNet(nn.Module):
    """The backbone: images to one feature vector each (mean over positions)."""

    spec: ResNetSpec
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width 3"], *, train: bool = False
    ) -> Float[Array, "batch features"]:
        spec = self.spec
        kernel, stride = (7, 2) if spec.stem == "imagenet" else (3, 1)
        stem = ConvNorm(spec.stem_width, kernel, stride, spec, self.dtype, name="embedding")
        x = nn.relu(stem(images.astype(self.dtype), train=train))
        if spec.stem == "imagenet":
            x = nn.max_pool(x, (3, 3), strides=(2, 2), padding=[(1, 1), (1, 1)])
        index = 0
        for stage, (blocks, width) in enumerate(zip(spec.stage_depths, spec.stage_widths, strict=True)):
            for i in range(blocks):
                stride = 2 if stage > 0 and i == 0 else 1
                x = ResNetBlock(width, stride, spec, self.dtype, name=f"block{index}")(x, train=train)
                index += 1
        return x.mean(axis=(1, 2))
