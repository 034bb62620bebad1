"""tlj: transfer a pretrained backbone or train from scratch, and how much of it to train, answered by experiment."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"
__all__ = ["Model", "load"]


def __getattr__(name: str) -> Any:
    # JAX is imported when a model is, so that ``tlj --help`` does not wait for it.
    if name in __all__:
        from tlj.pretrained import load as module

        return getattr(module, name)
    raise AttributeError(f"module 'tlj' has no attribute {name!r}")
