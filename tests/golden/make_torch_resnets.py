"""Makes ResNets under torch names: torchvision's, timm's and the CIFAR variant of He et al., with their logits.

Run with torch 2.13.0, torchvision 0.28.0, timm 1.0.31 and safetensors installed:

    python tests/golden/make_torch_resnets.py

Writes ``tests/golden/checkpoints/NAME/`` with ``model.safetensors``, timm's with its ``config.json``, and
``reference.npz`` as ``make_checkpoints.py`` describes it. The networks are torchvision's and timm's own, made narrow.
"""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Sequence

import numpy as np
import torch
from make_checkpoints import randomise
from random_weights import images
from safetensors.torch import save_file
from torch import nn
from torch_parts import every_block, import_torchvision, record

torchvision_resnet = import_torchvision().models.resnet

ROOT = pathlib.Path(__file__).parent / "checkpoints"


class NarrowResNet(torchvision_resnet.ResNet):
    """torchvision's ResNet with other widths than 64 to 512; its forward pass and its blocks are inherited."""

    def __init__(self, block: type[nn.Module], depths: Sequence[int], widths: Sequence[int]) -> None:
        nn.Module.__init__(self)
        self._norm_layer, self.groups, self.base_width, self.dilation = nn.BatchNorm2d, 1, 64, 1
        self.inplanes = widths[0]
        self.conv1 = nn.Conv2d(3, widths[0], kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.relu, self.maxpool = nn.ReLU(inplace=True), nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        for i, (blocks, width) in enumerate(zip(depths, widths, strict=True)):
            setattr(self, f"layer{i + 1}", self._make_layer(block, width, blocks, stride=1 if i == 0 else 2))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(widths[-1] * block.expansion, 3)


class PaddedBlock(nn.Module):
    """Two 3x3 convolutions; the shortcut takes every second pixel and pads channels (He et al. 2015, option A)."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.stride, self.padding = stride, (width - inputs) // 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns the feature maps after the sum and the ReLU."""
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        shortcut = nn.functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.padding, self.padding))
        return (y + shortcut).relu()


class CIFARResNet(nn.Module):
    """The CIFAR-10 network of He et al. 2015, section 4.2, made narrow."""

    def __init__(self, depths: Sequence[int], widths: Sequence[int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, widths[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        inputs = widths[0]
        for i, (blocks, width) in enumerate(zip(depths, widths, strict=True)):
            strides = [1 if i == 0 else 2] + [1] * (blocks - 1)
            layers = [PaddedBlock(inputs if j == 0 else width, width, stride) for j, stride in enumerate(strides)]
            setattr(self, f"layer{i + 1}", nn.Sequential(*layers))
            inputs = width
        self.linear = nn.Linear(inputs, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns the logits."""
        x = self.bn1(self.conv1(x)).relu()
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean(dim=(2, 3)))


def make(name: str, model: nn.Module) -> nn.Module:
    """Writes the weights of a model and its reference, and returns it."""
    randomise(model.eval(), name)
    stages = [getattr(model, f"layer{i}") for i in range(1, 5) if hasattr(model, f"layer{i}")]
    layers = every_block(block for stage in stages for block in stage)
    inputs = images(name, 2, 22)
    with torch.no_grad(), record(layers) as hidden:
        logits = model(torch.from_numpy(inputs).permute(0, 3, 1, 2))
    folder = ROOT / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    save_file(model.state_dict(), folder / "model.safetensors")
    states = {f"hidden/{layer}": value for layer, value in hidden.items()}
    np.savez_compressed(folder / "reference.npz", images=inputs, logits=logits.numpy(), **states)
    return model


def make_timm(name: str, architecture: str, channels: Sequence[int], num_classes: int) -> None:
    """Writes a model of timm as its own function for the hub does."""
    import timm

    model = timm.create_model(architecture, channels=channels, layers=(1, 1, 1, 1), num_classes=num_classes)
    make(name, model)
    arguments = {"channels": channels, "layers": (1, 1, 1, 1)}
    timm.models.save_for_hf(model, ROOT / name, model_args=arguments, safe_serialization=True)


if __name__ == "__main__":
    make("torchvision_basic", NarrowResNet(torchvision_resnet.BasicBlock, (2, 1, 1, 1), (8, 8, 16, 16)))
    make("torchvision_bottleneck", NarrowResNet(torchvision_resnet.Bottleneck, (1, 1, 1, 1), (4, 4, 8, 8)))
    make_timm("timm_resnet18", "resnet18", (4, 8, 8, 16), 3)
    make_timm("timm_resnet50", "resnet50", (4, 4, 8, 8), 5)
    make("cifar_padded", CIFARResNet((2, 1, 1), (4, 8, 16)))
