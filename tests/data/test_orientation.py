"""Turning images upright."""

import PIL.Image
import pytest

from tlj.data.orientation import UPRIGHT, turn_upright


def lying(orientation, width=7, height=4):
    image = PIL.Image.new("RGB", (width, height))
    image.getexif()[0x0112] = orientation
    return image


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_box_is_where_the_content_is_after_the_turn(orientation):
    image = lying(orientation)
    image.paste("red", (0, 0, 5, 3))
    turn = turn_upright(image)
    upright = turn.image(image)
    assert turn.box(5, 3, image.size) == upright.getbbox()
    assert turn.edges(image.size) == upright.size
    assert turn.edges(upright.size) == image.size


@pytest.mark.parametrize("orientation", [0, 9, "upside down"])
def test_an_orientation_that_there_is_not_turns_nothing(orientation):
    assert turn_upright(lying(orientation)) == UPRIGHT
