"""What is known of one image."""

import numpy as np
import pytest
from PIL import Image

from tests.audit.planted import coded, scene
from tlj.audit.thumbnails import fingerprint, image_facts
from tlj.errors import InputError


def test_the_facts_are_those_of_the_file():
    facts = image_facts(coded(scene(0)), "")
    assert (facts.width, facts.height, facts.format, facts.mode, facts.orientation) == (96, 80, "JPEG", "RGB", 1)
    assert facts.bytes == len(coded(scene(0)))
    assert not facts.animated
    assert not facts.flat


def test_a_turned_photograph_is_measured_and_compared_as_it_is_shown():
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = scene(0).transpose(Image.Transpose.ROTATE_90)
    facts = image_facts(coded(lying, "PNG", exif=exif), "")
    assert (facts.width, facts.height, facts.orientation) == (96, 80, 6)
    assert facts.pixels == image_facts(coded(scene(0), "PNG"), "").pixels


def test_another_format_without_loss_has_the_same_pixels_and_another_content():
    png, bmp = (image_facts(coded(scene(0), kind), "") for kind in ("PNG", "BMP"))
    assert png.content != bmp.content
    assert png.pixels == bmp.pixels
    assert (png.format, bmp.format) == ("PNG", "BMP")


def test_colours_of_one_brightness_are_two_pictures():
    red, green = (Image.new("RGB", (40, 40), colour) for colour in ((100, 0, 0), (0, 51, 0)))
    facts = [image_facts(coded(image, "PNG"), "") for image in (red, green)]
    assert facts[0].thumbnail.tolist() == facts[1].thumbnail.tolist()
    assert facts[0].pixels != facts[1].pixels


def test_a_dot_on_a_blank_page_makes_another_page():
    page, dotted = (np.full((400, 400, 3), 255, np.uint8) for _ in range(2))
    dotted[200, 200] = 250
    facts = [image_facts(image, "") for image in (page, dotted)]
    assert facts[0].flat
    assert facts[1].flat
    assert facts[0].pixels != facts[1].pixels


def test_an_animation_is_told():
    frames = [scene(seed) for seed in range(2)]
    facts = image_facts(coded(frames[0], "GIF", save_all=True, append_images=frames[1:]), "")
    assert facts.animated
    assert facts.format == "GIF"


@pytest.mark.parametrize("content", [b"", b"no image", coded(scene(0))[:200]])
def test_what_cannot_be_decoded_is_one_line(content):
    with pytest.raises(InputError, match="item 7"):
        image_facts(content, "item 7")


def test_fingerprints_differ():
    assert len({fingerprint(bytes([i])) for i in range(256)}) == 256
    assert max(fingerprint(bytes([i])) for i in range(256)) < 2**64
