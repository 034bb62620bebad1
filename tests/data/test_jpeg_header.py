"""Which JPEG files are ordinary enough to be read past Pillow."""

import io
import struct

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlj.data.jpeg_header import plain_edges

PICTURE = PIL.Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 41, 3), np.uint8))


def jpeg(mode="RGB", **options):
    buffer = io.BytesIO()
    PICTURE.convert(mode).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def exif(orientation):
    tags = PIL.Image.Exif()
    tags[0x0112] = orientation
    return tags


def changed(offset, form, value):
    """With another value in the segment that describes the pixels."""
    content = bytearray(jpeg())
    struct.pack_into(form, content, content.index(b"\xff\xc0") + offset, value)
    return bytes(content)


@pytest.mark.parametrize(
    "options",
    [{}, {"mode": "L"}, {"progressive": True}, {"comment": b"\xff\xd9"}, {"icc_profile": b"\xff\xe1" * 300},
     {"restart_marker_rows": 1}, {"keep_rgb": True}],
)  # fmt: skip
def test_the_edges_of_an_ordinary_photograph_are_told(options):
    assert plain_edges(jpeg(**options)) == (41, 30)


@pytest.mark.parametrize(
    "content",
    [
        jpeg(exif=exif(6)),
        jpeg(xmp=b'<rdf tiff:Orientation="6"/>'),
        jpeg("CMYK"),
        changed(4, "B", 12),
        changed(9, "B", 2),
        changed(1, "B", 0xC9),
        changed(2, ">H", 0),
        changed(2, ">H", 1),
        b"\xff" + jpeg(),
        b"",
        b"\xff\xd8",
        b"\x89PNG\r\n",
    ],
    ids=["Exif", "XMP", "CMYK", "12 bits", "two colours", "arithmetic", "no length", "length 1", "a byte before",
         "nothing", "the start alone", "PNG"],
)  # fmt: skip
def test_whatever_may_be_turned_or_is_not_ordinary_is_left_to_pillow(content):
    assert plain_edges(content) is None


def test_a_file_with_two_descriptions_of_its_pixels_is_left_to_pillow():
    content = jpeg()
    begin = content.index(b"\xff\xc0")
    length = 2 + int.from_bytes(content[begin + 2 : begin + 4], "big")
    assert plain_edges(content[: begin + length] + content[begin:]) is None


def test_every_beginning_of_a_file_is_refused_or_tells_the_edges():
    content = jpeg()
    scan = content.index(b"\xff\xda")
    for end in range(len(content)):
        assert plain_edges(content[:end]) == ((41, 30) if end >= scan + 4 else None)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(
    st.sampled_from([jpeg(), jpeg(progressive=True), jpeg(icc_profile=b"x" * 99)]),
    st.lists(st.tuples(st.integers(0, 700), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_what_is_told_of_a_damaged_file_is_what_pillow_reads_there(content, changes):
    damaged = bytearray(content)
    for place, value in changes:
        damaged[place % len(damaged)] = value
    edges = plain_edges(bytes(damaged))
    if edges and 0 not in edges:
        try:
            opened = PIL.Image.open(io.BytesIO(bytes(damaged)))
        except PIL.UnidentifiedImageError:
            return
        assert edges == opened.size
        assert opened.mode in ("L", "RGB")
        assert opened.getexif().get(0x0112, 1) == 1
