"""From the bytes of an image file to upright RGB pixels, or one clear line on why not; safe in threads.

What a file holds decides how it is read, not its name, and only formats whose decoders run nothing else are read at
all. Of an animation the first frame counts; what is transparent lies on white; greyscale of 16 bits is scaled to 8;
colour profiles are ignored. A JPEG is decoded at the smallest scale that still covers what is needed of it.
"""

from __future__ import annotations

import dataclasses
import io
import warnings
from collections.abc import Callable

import numpy as np
import PIL.Image
import simplejpeg
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from tlj.data.jpeg_header import plain_edges
from tlj.data.orientation import UPRIGHT, Turn, turn_upright
from tlj.errors import InputError

# Where Pillow begins to warn of a decompression bomb: below it no such warning is ever printed.
MOST_PIXELS = 89_478_485
# A narrower image would become millions of pixels long where its shorter edge is made as long as a model's input.
MOST_NARROW = 1000
SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm")
)
_FORMATS: tuple[tuple[tuple[bytes, ...], type[ImageFile.ImageFile]], ...] = (
    ((b"\xff\xd8",), JpegImagePlugin.JpegImageFile),
    ((b"\x89PNG",), PngImagePlugin.PngImageFile),
    ((b"GIF87a", b"GIF89a"), GifImagePlugin.GifImageFile),
    ((b"BM",), BmpImagePlugin.BmpImageFile),
    ((b"RIFF",), WebPImagePlugin.WebPImageFile),
    ((b"II*\0", b"MM\0*"), TiffImagePlugin.TiffImageFile),
    ((b"P1", b"P2", b"P3", b"P4", b"P5", b"P6"), PpmImagePlugin.PpmImageFile),
)

# What Pillow warns of is metadata, which no model sees; an image that cannot be read is an error of its own.
warnings.filterwarnings("ignore", module=r"PIL\.")

# From the width and height of an upright image to the least width and height that are needed of it.
Cover = Callable[[tuple[int, int]], tuple[int, int]]


@dataclasses.dataclass(frozen=True)
class Decoded:
    """An upright RGB image.

    Attributes:
      image: with as many pixels as were asked for, or more.
      edges: width and height in pixels of the whole image, as its file holds it.
      box: left, top, right and bottom in pixels of ``image``, between which the whole image lies; None for all of it. A
        pixel at the border of a JPEG that was scaled down is only partly one of the image.
    """

    image: PIL.Image.Image
    edges: tuple[int, int]
    box: tuple[float, float, float, float] | None = None


def decode(content: bytes, where: str, cover: Cover | None = None) -> Decoded:
    """Returns the image in the content of a file.

    Args:
      content: of the file.
      where: the file, for messages.
      cover: the least that is needed of it; None for all its pixels.

    Raises:
      InputError: where it holds no image that can be read, or one too large to be meant.
    """
    try:
        if plain := plain_edges(content):
            _check_edges(*plain)
            if found := _scaled(content, plain, UPRIGHT, cover):
                return found
        image = _opened(content)
        _check_edges(*image.size)
        if isinstance(image, JpegImagePlugin.JpegImageFile):
            return _jpeg(content, image, cover)
        image.load()
        # After loading: a PNG may tell its orientation last, and a TIFF has been turned by then.
        upright = turn_upright(image).image(_rgb(image))
        return Decoded(upright, upright.size)
    except MemoryError:
        raise
    except Exception as failure:
        # Decoders meet broken data with errors of every kind.
        reason = str(failure) or type(failure).__name__
        raise InputError(
            f"the image cannot be read: {reason}",
            where=where,
            do="mend or remove it, or leave such examples out with data.on_error=skip",
        ) from failure


def _opened(content: bytes) -> ImageFile.ImageFile:
    if not content:
        raise ValueError("the file is empty")
    for prefixes, image_file in _FORMATS:
        if content.startswith(prefixes):
            # Not PIL.Image.open: it warns of large images, and tries decoders that start other programs.
            return image_file(io.BytesIO(content))
    raise ValueError("the content is not JPEG, PNG, GIF, BMP, WebP, TIFF or PNM")


def _check_edges(width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise ValueError(f"{width} x {height} pixels are more than {MOST_PIXELS}")
    if not 0 < max(width, height) <= MOST_NARROW * min(width, height):
        raise ValueError(f"with {width} x {height} pixels it is more than {MOST_NARROW} times longer than wide")


def _jpeg(content: bytes, image: JpegImagePlugin.JpegImageFile, cover: Cover | None) -> Decoded:
    turn, whole = turn_upright(image), image.size
    if image.mode in ("RGB", "L") and (found := _scaled(content, whole, turn, cover)):
        return found
    edges, least = _needed(whole, turn, cover)
    drafted = image.draft(None, least)
    rgb = _rgb(image)
    return Decoded(turn.image(rgb), edges, turn.box(*(drafted[1][2:] if drafted else whole), rgb.size))


def _needed(whole: tuple[int, int], turn: Turn, cover: Cover | None) -> tuple[tuple[int, int], tuple[int, int]]:
    """The edges of the upright image, and the least that is needed of those of the stored one."""
    edges = turn.edges(whole)
    return edges, turn.edges(cover(edges) if cover else edges)


def _scaled(content: bytes, whole: tuple[int, int], turn: Turn, cover: Cover | None) -> Decoded | None:
    """At the smallest of eight scales that covers.

    None where the library refuses the file: Pillow should say what is wrong with it, or read it after all.
    """
    edges, least = _needed(whole, turn, cover)
    # Rounded up, an edge at this many eighths is no shorter than the least; there are no more than eight.
    eighths = min(8, max(8 * (short - 1) // edge + 1 for edge, short in zip(whole, least, strict=True)))
    width, height = (-(-edge * eighths // 8) for edge in whole)
    try:
        pixels = simplejpeg.decode_jpeg(content, "RGB", min_width=width, min_height=height)
    except ValueError:
        return None
    rgb = PIL.Image.fromarray(pixels)
    # The edges that the content has but for rounding.
    return Decoded(turn.image(rgb), edges, turn.box(whole[0] * eighths / 8, whole[1] * eighths / 8, rgb.size))


def _rgb(image: PIL.Image.Image) -> PIL.Image.Image:
    if image.mode.startswith("I;16") or (image.mode == "I" and isinstance(image, PpmImagePlugin.PpmImageFile)):
        levels = np.asarray(image).astype(np.uint32)
        return PIL.Image.fromarray(((levels + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise ValueError("pixels of 32 bits have no known range")
    if image.has_transparency_data:
        picture = image.convert("RGBA")
        return PIL.Image.alpha_composite(PIL.Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    return image.convert("RGB")
