"""Decoding of image files: every kind that people have, and one clear line for what is none."""

import concurrent.futures
import functools
import io
import struct
import subprocess
import sys
import warnings
import zlib

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlj.data.decode import MOST_PIXELS, SUFFIXES, decode
from tlj.data.images import Preprocessing
from tlj.data.resize import resize_image, resized_edges
from tlj.errors import InputError

RAMP = np.stack(np.broadcast_arrays(*np.ogrid[0:240:40j, 0:200:60j], 90.0), -1).astype(np.uint8)
PICTURE = PIL.Image.fromarray(RAMP)


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def pixels(content, cover=None):
    return np.asarray(decode(content, "a file", cover).image)


def of_size(width, height, kind="JPEG"):
    return encoded(PICTURE.resize((width, height)), kind)


@pytest.fixture(autouse=True)
def _no_warning_of_pillow():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_a_lossless_file_gives_its_pixels(kind):
    np.testing.assert_array_equal(pixels(encoded(PICTURE, kind)), RAMP)


@pytest.mark.parametrize(("kind", "options"), [("WEBP", {"quality": 95}), ("JPEG", {"progressive": True})])
def test_a_lossy_file_gives_nearly_its_pixels(kind, options):
    assert np.abs(pixels(encoded(PICTURE, kind, **options)).astype(int) - RAMP).mean() < 3


def test_photographs_are_decoded_like_pillow_does(shared_data):
    preprocessing = Preprocessing(224, (0.5,) * 3, (0.5,) * 3, resample="bicubic", resize_to=256)
    for path in sorted(shared_data("data/hymenoptera/train/ants").iterdir())[:6]:
        found, expected = decode(path.read_bytes(), str(path)), PIL.Image.open(path).convert("RGB")
        np.testing.assert_array_equal(np.asarray(found.image), np.asarray(expected))
        resized = resize_image(found.image, preprocessing, found.edges, found.box)
        np.testing.assert_array_equal(resized, resize_image(expected, preprocessing))
        # At a smaller scale the pixels are nearly the same.
        scaled = decode(path.read_bytes(), str(path), functools.partial(resized_edges, preprocessing=preprocessing))
        assert scaled.edges == found.edges
        nearly = resize_image(scaled.image, preprocessing, scaled.edges, scaled.box)
        assert np.abs(nearly.astype(int) - resized).mean() < 4.5


@settings(derandomize=True, deadline=None, max_examples=40)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 100), st.integers(1, 100), st.sampled_from([1, 6]))
def test_a_jpeg_is_decoded_at_the_smallest_scale_that_covers(width, height, least_width, least_height, orientation):
    content = encoded(PICTURE.resize((width, height)), "JPEG", exif=oriented(orientation))
    found = decode(content, "a file", lambda edges: (least_width, least_height))
    upright = (height, width) if orientation == 6 else (width, height)
    assert found.edges == upright
    scaled = [tuple(-(-edge * eighths // 8) for edge in upright) for eighths in range(1, 9)]
    covering = [edges for edges in scaled if edges[0] >= least_width and edges[1] >= least_height]
    assert found.image.size == (covering[0] if covering else upright)


@pytest.mark.parametrize("mode", ["RGB", "CMYK"])  # decoded by either library
@pytest.mark.parametrize("orientation", range(1, 9))
def test_what_is_only_partly_a_pixel_of_a_scaled_jpeg_is_left_out_in_every_orientation(orientation, mode):
    content = encoded(PICTURE.resize((57, 37)).convert(mode), "JPEG", quality=95, exif=oriented(orientation))
    preprocessing = Preprocessing(4, (0.5,) * 3, (0.5,) * 3)
    expected = resize_image(decode(content, "a file").image, preprocessing).astype(int)
    scaled = decode(content, "a file", lambda edges: (4, 4))
    assert sorted(scaled.image.size) == [5, 8]
    found = resize_image(scaled.image, preprocessing, scaled.edges, scaled.box)
    assert np.abs(found - expected).max() <= 5
    assert np.abs(resize_image(scaled.image, preprocessing, scaled.edges) - expected).max() > 10


def test_cover_is_asked_with_the_edges_of_the_upright_image():
    asked = []
    content = encoded(PICTURE, "JPEG", exif=oriented(8))
    decode(content, "a file", lambda edges: asked.append(edges) or edges)
    assert asked == [(40, 60)]


def oriented(orientation):
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_every_orientation_is_turned_upright(kind, orientation):
    options = {"lossless": True} if kind == "WEBP" else {}
    content = encoded(PICTURE, kind, exif=oriented(orientation), **options)
    expected = np.asarray(PIL.ImageOps.exif_transpose(PIL.Image.open(io.BytesIO(content))))
    assert (expected.shape == RAMP.shape) == (orientation < 5)
    found = decode(content, "a file")
    np.testing.assert_array_equal(np.asarray(found.image), expected)
    assert found.edges == found.image.size


def test_broken_metadata_leaves_a_photograph_as_it_lies():
    content = encoded(PICTURE, "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert pixels(content).shape == RAMP.shape


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("mode", ["L", "1"])
def test_greyscale_has_three_equal_channels(mode, kind):
    found = pixels(encoded(PICTURE.convert(mode), kind))
    expected = np.asarray(PICTURE.convert(mode).convert("L"), int)
    assert np.ptp(found, axis=-1).max() == 0
    assert np.abs(found[..., 0] - expected).mean() < 9


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_are_scaled_to_eight(kind):
    levels = np.linspace(0, 65535, 60 * 40).reshape(40, 60).round().astype(np.uint16)
    found = pixels(encoded(PIL.Image.fromarray(levels), kind))
    np.testing.assert_array_equal(found[..., 1], np.round(levels / 257))


@pytest.mark.parametrize("cover", [None, lambda edges: (15, 10)])
def test_inverted_cmyk_keeps_its_colours(cover):
    found = pixels(encoded(PICTURE.convert("CMYK"), "JPEG", quality=95), cover)
    expected = np.asarray(PICTURE.resize(found.shape[1::-1], PIL.Image.Resampling.BOX), int)
    assert found.shape == ((10, 15, 3) if cover else (40, 60, 3))
    assert np.abs(found - expected).mean() < 5


@pytest.mark.parametrize(
    ("kind", "mode"), [("PNG", "P"), ("GIF", "P"), ("PNG", "RGBA"), ("PNG", "LA"), ("TIFF", "RGBA")]
)
def test_what_is_transparent_lies_on_white(kind, mode):
    if mode == "P":
        # The last colour of the palette, which is black, stands for nothing.
        levels = np.asarray(PICTURE.quantize(255)).copy()
        levels[:, :30] = 255
        image = PIL.Image.fromarray(levels)
        image.putpalette([*PICTURE.quantize(255).getpalette()[:765], 0, 0, 0])
        content = encoded(image, kind, transparency=255)
    else:
        image = PICTURE.convert("RGBA")
        image.putalpha(PIL.Image.fromarray(np.where(np.arange(60) < 30, 0, 255).astype(np.uint8)[None].repeat(40, 0)))
        content = encoded(image.convert(mode), kind)
    found = pixels(content)
    assert (found[:, :30] == 255).all()
    expected = PICTURE.convert(mode[0]).convert("RGB") if mode == "LA" else PICTURE
    assert np.abs(found[:, 30:].astype(int) - np.asarray(expected)[:, 30:]).mean() < 5


def test_half_transparent_is_half_white():
    image = PIL.Image.new("RGBA", (4, 4), (0, 100, 200, 128))
    assert pixels(encoded(image, "PNG"))[0, 0].tolist() == [127, 177, 227]


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame_counts(kind):
    frames = [PIL.Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    content = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert pixels(content)[0, 0].tolist() == [255, 0, 0]


def test_content_decides_and_not_the_name():
    assert decode(encoded(PICTURE, "PNG"), "a/b.jpg").image.size == (60, 40)


def promising(width, height):
    """A PNG whose header promises more than there is."""
    content = bytearray(encoded(PICTURE, "PNG"))
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


def jpeg_promising(width, height):
    content = bytearray(encoded(PICTURE, "JPEG"))
    start = content.index(b"\xff\xc0")
    content[start + 5 : start + 9] = struct.pack(">HH", height, width)
    return bytes(content)


def half(kind):
    content = of_size(300, 200, kind)
    return content[: len(content) // 2]


NASTY = {
    "nothing": (b"", "the file is empty"),
    "text": (b"not an image\n", "the content is not JPEG"),
    "a web page": (b"<!DOCTYPE html><html>404</html>", "the content is not JPEG"),
    "sound": (b"RIFF\x24\0\0\0WAVEfmt " + b"\0" * 40, "the image cannot be read"),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "the content is not JPEG"),
    "half a JPEG": (half("JPEG"), "truncated"),
    "the start of a JPEG": (of_size(60, 40)[:20], "the image cannot be read"),
    "two bytes of a JPEG": (b"\xff\xd8", "the image cannot be read"),
    "half a PNG": (half("PNG"), "truncated"),
    "half a GIF": (half("GIF"), "the image cannot be read"),
    "half a WebP": (half("WEBP"), "the image cannot be read"),
    "half a BMP": (half("BMP"), "truncated"),
    "half a TIFF": (half("TIFF"), "the image cannot be read"),
    "half a PPM": (half("PPM"), "truncated"),
    "a PNG that is a bomb": (promising(60_000, 60_000), "60000 x 60000 pixels are more than"),
    "a JPEG that is a bomb": (jpeg_promising(50_000, 50_000), "50000 x 50000 pixels are more than"),
    "a line of a million pixels": (promising(1_000_000, 1), "1000000 x 1 pixels"),
    "a JPEG without rows": (jpeg_promising(60, 0), "the image cannot be read"),
    "numbers of no range": (encoded(PICTURE.convert("F"), "TIFF"), "32 bits"),
}


@pytest.mark.parametrize("name", NASTY)
def test_what_cannot_be_read_is_one_line_with_the_file_and_the_reason(name):
    content, reason = NASTY[name]
    with pytest.raises(InputError) as caught:
        decode(content, "train/bees/7.jpg")
    assert str(caught.value).startswith("train/bees/7.jpg: ")
    assert reason in caught.value.what
    assert "\n" not in str(caught.value)
    assert "data.on_error=skip" in caught.value.do


@pytest.mark.parametrize("exif", [b"", oriented(6)], ids=["ordinary", "turned"])
def test_a_jpeg_that_promises_too_much_is_refused_before_anything_decodes_it(monkeypatch, exif):
    content = bytearray(encoded(PICTURE, "JPEG", exif=exif))
    start = content.index(b"\xff\xc0")
    content[start + 5 : start + 9] = struct.pack(">HH", 50_000, 50_000)
    monkeypatch.setattr("simplejpeg.decode_jpeg", lambda *_, **__: pytest.fail("it was decoded"))
    with pytest.raises(InputError, match="pixels are more than"):
        decode(bytes(content), "a file")


def test_an_ordinary_jpeg_is_read_past_pillow_alike(monkeypatch):
    content = of_size(61, 43)
    expected = pixels(content, lambda edges: (31, 5))
    monkeypatch.setattr("tlj.data.decode.plain_edges", lambda _: None)
    np.testing.assert_array_equal(pixels(content, lambda edges: (31, 5)), expected)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(
    st.sampled_from([of_size(30, 20, kind) for kind in ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM")]),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_damaged_files_give_an_image_or_an_input_error(content, changes):
    damaged = bytearray(content)
    for place, value in changes:
        damaged[place % len(damaged)] = value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = decode(bytes(damaged), "a file")
        except InputError:
            return
    assert found.image.mode == "RGB"
    assert np.prod(found.edges) <= MOST_PIXELS


def test_threads_decode_what_one_does():
    contents = [of_size(20 + i % 50, 30, kind) for i in range(60) for kind in ("JPEG", "PNG")]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for found, content in zip(pool.map(pixels, contents), contents, strict=True):
            np.testing.assert_array_equal(found, pixels(content))


def test_every_suffix_is_of_a_format_that_is_read():
    PIL.Image.init()
    kinds = {PIL.Image.registered_extensions()[suffix] for suffix in SUFFIXES if suffix not in (".jpe",)}
    for kind in kinds:
        assert pixels(encoded(PICTURE, kind)).shape == RAMP.shape


def test_broken_metadata_writes_nothing_on_the_screen(tmp_path):
    content = bytearray(encoded(PICTURE, "TIFF", description="a picture"))
    (first,) = struct.unpack("<I", content[4:8])
    (entries,) = struct.unpack("<H", content[first : first + 2])
    for entry in range(first + 2, first + 2 + 12 * entries, 12):
        if content[entry : entry + 2] == struct.pack("<H", 270):
            content[entry + 4 : entry + 8] = struct.pack("<I", 2**20)
    with pytest.warns(UserWarning, match="Tag data larger than file"):
        decode(bytes(content), "a file")
    (tmp_path / "a.tif").write_bytes(content)
    read = f"from tlj.data.decode import decode; decode(open({str(tmp_path / 'a.tif')!r}, 'rb').read(), 'a file')"
    done = subprocess.run([sys.executable, "-c", read], capture_output=True, text=True, check=True)
    assert done.stderr == ""
