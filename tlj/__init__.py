"""tlj: transfer a pretrained backbone or train from scratch, and how much of it to train, answered by experiment."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"
__all__ = ["Model", "export", "load", "restore"]

_MODULES = {
    "Model": "tlj.pretrained.load",
    "load": "tlj.pretrained.load",
    "export": "tlj.pretrained.export.export",
    "restore": "tlj.pretrained.restore",
}


def __getattr__(name: str) -> Any:
    # JAX is imported when a model is, so that ``tlj --help`` does not wait for it.
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'tlj' has no attribute {name!r}")
