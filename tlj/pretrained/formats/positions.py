"""Position embeddings of a ViT for another resolution: the patches' grid is resized, the class token's row kept."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from tlj.errors import InputError, unknown_name

METHODS = ("bicubic", "bilinear")
# Of the cubic kernel: torch's value. Keys proves that -1/2 is the one of third order.
_A = -0.75


def resize_positions(
    positions: Float[np.ndarray, "1 length width"], shape: tuple[int, ...], *, has_class_token: bool, method: str
) -> Float[np.ndarray, "1 new_length width"]:
    """Resizes a square grid of position embeddings.

    Args:
      positions: one row per token, the class token's first where there is one, then the patches row by row.
      shape: of the result; its last axis is as in ``positions``.
      has_class_token: whether the first row belongs to a class token, which is kept as it is.
      method: ``"bicubic"`` as transformers resizes (``torch.nn.functional.interpolate`` with ``mode="bicubic"``,
        ``align_corners=False``): cubic convolution with a = -3/4 (Keys 1981, "Cubic convolution interpolation for
        digital image processing", equation 15 has a = -1/2), pixels at the centres of their squares, the border
        repeated, no antialiasing. ``"bilinear"`` as google-research/vision_transformer resizes:
        ``scipy.ndimage.zoom(order=1)``, the first and last patch of a row staying where they are.

    Raises:
      InputError: for an unknown method, or where one of the two grids is not square.
    """
    if method not in METHODS:
        raise unknown_name("method of resizing positions", method, METHODS)
    before, after = _grid(positions.shape[1], has_class_token), _grid(shape[1], has_class_token)
    kept, patches = positions[:, : int(has_class_token)], positions[0, int(has_class_token) :]
    grid = patches.reshape(before, before, -1)
    if before != after:
        grid = _bicubic(grid, after) if method == "bicubic" else _bilinear(grid, after)
    return np.concatenate([kept, grid.reshape(1, after * after, -1)], axis=1).astype(np.float32, copy=False)


def _grid(length: int, has_class_token: bool) -> int:
    patches = length - has_class_token
    side = math.isqrt(max(patches, 0))
    if side == 0 or side * side != patches:
        raise InputError(
            f"{patches} position embeddings of patches are no square grid",
            where="the position embeddings",
            do="only square images can be resized; give the image_size that the checkpoint was made with",
        )
    return side


def _bilinear(grid: Float[np.ndarray, "before before width"], after: int) -> Float[np.ndarray, "after after width"]:
    # scipy's arrays take a fifth of a second to import, which a start without such a checkpoint should not wait for.
    from scipy import ndimage

    return ndimage.zoom(grid, (after / len(grid), after / len(grid), 1), order=1)


def _bicubic(grid: Float[np.ndarray, "before before width"], after: int) -> Float[np.ndarray, "after after width"]:
    weights = _cubic_weights(len(grid), after)
    return np.einsum("yr,xc,rcw->yxw", weights, weights, grid.astype(np.float64), optimize=True)


def _cubic_weights(before: int, after: int) -> Float[np.ndarray, "after before"]:
    """How much each of the new points takes of each of the old ones, along one axis."""
    centres = (np.arange(after) + 0.5) * (before / after) - 0.5
    nearest = np.floor(centres).astype(int)
    weights = np.zeros((after, before))
    for tap in (-1, 0, 1, 2):
        points = np.clip(nearest + tap, 0, before - 1)  # beyond the border its last value goes on
        np.add.at(weights, (np.arange(after), points), _cubic_kernel(centres - (nearest + tap)))
    return weights


def _cubic_kernel(distance: Float[np.ndarray, " points"]) -> Float[np.ndarray, " points"]:
    x = np.abs(distance)
    inner = (_A + 2) * x**3 - (_A + 3) * x**2 + 1
    outer = _A * (x**3 - 5 * x**2 + 8 * x - 4)
    return np.where(x <= 1, inner, np.where(x < 2, outer, 0.0))
