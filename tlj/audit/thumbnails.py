"""An image as 32 x 32 pixels, for comparing it with others, and what its file says of it."""

from __future__ import annotations

import dataclasses
import hashlib
import io

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from tlj.data.decode import decode
from tlj.data.examples import Content

SIDE = 32
# A JPEG is decoded at the smallest of its scales that covers this; four pixels to one keep copies of other sizes alike.
_DECODED = 4 * SIDE
# Below this many grey levels of spread an image says nothing at 32 x 32, and counts as flat.
FLAT = 2.0
_ORIENTATION = 0x0112


@dataclasses.dataclass(frozen=True)
class ImageFacts:
    """What is known of one image.

    Attributes:
      width: pixels, as it is shown.
      height: pixels, as it is shown.
      bytes: size of its file, or of its pixels where there is none.
      format: of the file, as Pillow names it; ``"pixels"`` where there is none.
      mode: of the file, as Pillow names it.
      orientation: EXIF's, 1 to 8; 1 is upright.
      animated: whether its file holds more than one picture.
      flat: whether it is all of nearly one colour at 32 x 32.
      content: hash of the file or the pixels.
      pixels: hash of its 32 x 32 pixels; of a flat image of all its pixels.
      thumbnail: the same in grey.
    """

    width: int
    height: int
    bytes: int
    format: str
    mode: str
    orientation: int
    animated: bool
    flat: bool
    content: int
    pixels: int
    thumbnail: UInt8[np.ndarray, "32 32"]


def image_facts(content: Content, where: str) -> ImageFacts:
    """Looks at one image.

    Args:
      content: of its file, or its pixels.
      where: it lies, for messages.

    Raises:
      InputError: where it cannot be decoded.
    """
    if isinstance(content, bytes):
        decoded = decode(content, where, lambda edges: (min(edges[0], _DECODED), min(edges[1], _DECODED)))
        image, edges, data, kept = decoded.image, decoded.edges, content, _header(content)
    else:
        image = Image.fromarray(content)
        edges, data, kept = image.size, np.ascontiguousarray(content).tobytes(), ("pixels", image.mode, 1, False)
    small = image.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    flat = np.asarray(small).std(axis=(0, 1)).max() < FLAT
    if flat:
        whole = decode(content, where).image if isinstance(content, bytes) else image
        pixels = fingerprint(repr(whole.size).encode() + whole.tobytes())
    else:
        pixels = fingerprint(small.tobytes())
    thumbnail = np.asarray(small.convert("L"))
    return ImageFacts(*edges, len(data), *kept, bool(flat), fingerprint(data), pixels, thumbnail)


def _header(content: bytes) -> tuple[str, str, int, bool]:
    """Format, mode, orientation and whether it is an animation, of a file that has been decoded before."""
    image = Image.open(io.BytesIO(content))
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
        animated = getattr(image, "is_animated", False)
    except Exception:  # Broken metadata is met with errors of every kind, and says nothing.
        orientation, animated = 1, False
    return image.format, image.mode, orientation, animated


def fingerprint(content: bytes) -> int:
    """Returns a hash of 64 bits: of a million contents two meet by chance once in forty million times."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest())
