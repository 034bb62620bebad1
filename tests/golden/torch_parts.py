"""What the layers of a torch model give while it runs, and an import of torchvision without its compiled part."""

from __future__ import annotations

import contextlib
import types
from collections.abc import Iterable, Iterator

import numpy as np
import torch


def every_block(blocks: Iterable[torch.nn.Module]) -> dict[str, torch.nn.Module]:
    """Returns blocks by the names that tlj gives them."""
    return {f"block{i}": block for i, block in enumerate(blocks)}


@contextlib.contextmanager
def record(layers: dict[str, torch.nn.Module]) -> Iterator[dict[str, np.ndarray]]:
    """Gives the output of each layer in the forward pass that is made meanwhile; feature maps NHWC."""
    found: dict[str, np.ndarray] = {}

    def keep(name: str, result: object) -> None:
        tensor = result[0] if isinstance(result, tuple) else result
        axes = (0, 2, 3, 1) if tensor.ndim == 4 else range(tensor.ndim)
        found[name] = tensor.permute(*axes).numpy().copy()

    handles = [
        layer.register_forward_hook(lambda _, __, result, name=name: keep(name, result))
        for name, layer in layers.items()
    ]
    yield found
    for handle in handles:
        handle.remove()


def import_torchvision() -> types.ModuleType:
    """Returns torchvision, of which the Python parts are enough: its compiled operators may be of another torch."""
    register_fake = torch.library.register_fake
    torch.library.register_fake = lambda *_, **__: lambda function: function
    try:
        import torchvision
    finally:
        torch.library.register_fake = register_fake
    return torchvision
