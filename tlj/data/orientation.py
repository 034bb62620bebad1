"""How an image is to be turned upright, as cameras note it beside the pixels."""

from __future__ import annotations

import dataclasses

import PIL.Image

_TAG = 0x0112
_Transpose = PIL.Image.Transpose


@dataclasses.dataclass(frozen=True)
class Turn:
    """How an image is turned upright.

    Attributes:
      transpose: what Pillow does for it; None where it lies upright.
      margins: which of left, top, right and bottom of the image as stored become those of the upright one.
    """

    transpose: PIL.Image.Transpose | None = None
    margins: tuple[int, int, int, int] = (0, 1, 2, 3)

    def edges(self, edges: tuple[int, int]) -> tuple[int, int]:
        """Returns width and height after the turn, or before it from those after it."""
        return (edges[1], edges[0]) if self.margins[0] % 2 else edges

    def image(self, image: PIL.Image.Image) -> PIL.Image.Image:
        """Returns the upright image."""
        return image if self.transpose is None else image.transpose(self.transpose)

    def box(self, width: float, height: float, edges: tuple[int, int]) -> tuple[float, float, float, float]:
        """Returns where the content lies in the upright image: left, top, right and bottom in pixels.

        Args:
          width: of the content in the stored image, from its left; less than a pixel is missing to the image's.
          height: likewise from its top.
          edges: of the stored image.
        """
        stored = (0.0, 0.0, edges[0] - width, edges[1] - height)
        left, top, right, bottom = (stored[margin] for margin in self.margins)
        upright = self.edges(edges)
        return left, top, upright[0] - right, upright[1] - bottom


UPRIGHT = Turn()
_TURNS = {
    2: Turn(_Transpose.FLIP_LEFT_RIGHT, (2, 1, 0, 3)),
    3: Turn(_Transpose.ROTATE_180, (2, 3, 0, 1)),
    4: Turn(_Transpose.FLIP_TOP_BOTTOM, (0, 3, 2, 1)),
    5: Turn(_Transpose.TRANSPOSE, (1, 0, 3, 2)),
    6: Turn(_Transpose.ROTATE_270, (3, 0, 1, 2)),
    7: Turn(_Transpose.TRANSVERSE, (3, 2, 1, 0)),
    8: Turn(_Transpose.ROTATE_90, (1, 2, 3, 0)),
}


def turn_upright(image: PIL.Image.Image) -> Turn:
    """Returns how an image is turned upright, by its EXIF orientation; without one that can be read, it lies so."""
    try:
        return _TURNS.get(image.getexif().get(_TAG, 1), UPRIGHT)
    except Exception:
        # Broken metadata fails in many ways, and does not make the pixels unreadable.
        return UPRIGHT
