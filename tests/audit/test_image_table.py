"""Images read once, and which are copies of which."""

import numpy as np
import pytest

from tests.audit.planted import COPIES, Held, coded, scene
from tlj.audit.image_table import image_copies, read_images


def partners(train, test):
    """Of each test image (kind, index of its training image), or None."""
    items = [one if isinstance(one, bytes | np.ndarray) else coded(one) for one in [*train, *test]]
    table = read_images(Held(items), np.arange(len(items)))
    copies = image_copies(table, np.arange(len(items)) < len(train))
    found = []
    for at in range(len(train), len(items)):
        kinds = [("mirrored" if c.mirrored[at] else c.kind, int(c.partner[at])) for c in copies if c.partner[at] >= 0]
        found.append(kinds[0] if kinds else None)
    return found


@pytest.mark.parametrize("change", COPIES)
def test_a_changed_copy_is_near_its_original(change):
    scenes = [scene(seed) for seed in range(8)]
    assert partners(scenes, [COPIES[change](one) for one in scenes]) == [("near", i) for i in range(8)]


def test_a_copied_file_is_identical_and_not_merely_near():
    assert partners([scene(0), scene(1)], [coded(scene(1))]) == [("identical", 1)]


def test_a_lossless_copy_has_the_same_pixels():
    assert partners([coded(scene(0), "PNG")], [coded(scene(0), "BMP")]) == [("same pixels", 0)]


def test_a_mirrored_copy_is_found():
    mirrored = scene(1).transpose(0)
    assert partners([scene(0), scene(1)], [coded(mirrored, quality=60)]) == [("mirrored", 1)]


def test_different_scenes_are_never_copies():
    assert partners([scene(i) for i in range(60)], [scene(100 + i) for i in range(60)]) == [None] * 60


def test_the_partner_of_a_near_copy_is_a_training_image_though_its_twin_is_in_the_test():
    copy = COPIES["re-encoded"](scene(0))
    assert partners([scene(0)], [copy, copy]) == [("near", 0), ("near", 0)]


def test_black_images_are_one_cluster_and_no_pairs():
    black = np.zeros((40, 40, 3), np.uint8)
    items = Held([black] * 300 + [black + 1])
    table = read_images(items, np.arange(301))
    identical, same, near = image_copies(table, np.arange(301) < 150)
    assert table.column("flat").all()
    assert len(set(near.groups)) == len(set(same.groups)) == len(set(identical.groups)) == 2
    assert near.partner[300] == -1


def test_images_of_nearly_one_colour_are_compared_exactly():
    shades = np.asarray(scene(0, (40, 40)), int) // 64 + 100
    flat, lighter = (shades + more for more in (0, 1))
    assert partners([flat.astype(np.uint8)], [lighter.astype(np.uint8)]) == [None]
    assert partners([flat.astype(np.uint8)], [flat.astype(np.uint8)]) == [("identical", 0)]


def test_a_looser_way_of_being_the_same_includes_the_stricter_ones():
    table = read_images(Held([coded(scene(0)), COPIES["as WebP"](scene(0)), COPIES["as WebP"](scene(0))]), np.arange(3))
    identical, same, near = image_copies(table, np.array([True, True, False]))
    assert identical.partner[2] == same.partner[2] == near.partner[2] == 1
    assert near.likeness[2] == 1
    assert len(set(near.groups)) == 1


def test_tiny_images_are_compared_exactly():
    tiny = [np.asarray(scene(0, (8, 8))), np.asarray(scene(0, (8, 8))) ^ 1]
    assert partners([tiny[0]], [tiny[1]]) == [None]
    assert partners([tiny[0]], [tiny[0].copy()]) == [("identical", 0)]


def test_what_cannot_be_read_is_listed_and_the_rest_is_read():
    table = read_images(Held([coded(scene(0)), b"broken", coded(scene(1))]), np.arange(3))
    assert table.indices.tolist() == [0, 2]
    assert table.unreadable[1].where == "item 1"
    assert table.unreadable[1].reason


def test_no_image_at_all_is_no_error():
    table = read_images(Held([b""]), np.arange(1))
    assert [len(copies.groups) for copies in image_copies(table, np.zeros(0, bool))] == [0, 0, 0]
