"""Makes ``positions.npz``: position embeddings and what torch's bicubic interpolation makes of them.

Run with torch 2.13.0 and NumPy, from the root of the repository: ``python tests/golden/make_positions.py``.
"""

import pathlib

import numpy as np
import torch

# Twice and half the size, sizes that do not divide, and one that shrinks to a single patch.
SIZES = ((4, 8), (7, 12), (14, 9), (3, 5), (6, 1), (1, 3))
WIDTH = 3


def main() -> None:
    """Writes the file beside this script."""
    generator = torch.Generator().manual_seed(0)
    arrays = {}
    for before, after in SIZES:
        positions = torch.randn(1, 1 + before * before, WIDTH, generator=generator)
        grid = positions[:, 1:].reshape(1, before, before, WIDTH).permute(0, 3, 1, 2)
        resized = torch.nn.functional.interpolate(grid, size=(after, after), mode="bicubic", align_corners=False)
        patches = resized.permute(0, 2, 3, 1).reshape(1, after * after, WIDTH)
        arrays[f"before/{before}-{after}"] = positions.numpy()
        arrays[f"after/{before}-{after}"] = torch.cat([positions[:, :1], patches], dim=1).numpy()
    np.savez_compressed(pathlib.Path(__file__).with_name("positions.npz"), **arrays)


if __name__ == "__main__":
    main()
