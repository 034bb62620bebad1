"""Near duplicates among thumbnails."""

import hypothesis
import numpy as np
from hypothesis import strategies as st

from tests.audit.planted import scene
from tlj.audit.near_images import ALIKE, joined, likeness, near_images
from tlj.audit.thumbnails import image_facts


def thumbnails(count: int) -> np.ndarray:
    return np.stack([image_facts(np.asarray(scene(seed)), "").thumbnail for seed in range(count)])


def noisy(images: np.ndarray, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(-2, 3, images.shape)
    return np.clip(images.astype(int) + noise, 0, 255).astype(np.uint8)


def everything(images: np.ndarray, in_train=None):
    return near_images(images, np.ones(len(images), bool), np.ones(len(images), bool) if in_train is None else in_train)


def test_different_pictures_are_not_near():
    found = everything(thumbnails(40))
    assert len(set(found.groups)) == 40
    assert (found.nearest == -1).all()


def test_each_test_image_finds_its_own_training_image():
    images = thumbnails(10)
    found = everything(np.concatenate([images, noisy(images)]), np.arange(20) < 10)
    np.testing.assert_array_equal(found.nearest[10:], np.arange(10))
    # Training images have no other training image.
    assert (found.nearest[:10] == -1).all()
    assert (found.likeness[10:] > 0.9).all()
    assert not found.mirrored.any()


def test_the_most_alike_of_several_is_the_nearest():
    image = thumbnails(1)
    rough = np.clip(image.astype(int) + np.random.default_rng(1).integers(-12, 13, image.shape), 0, 255).astype(
        np.uint8
    )
    found = everything(np.concatenate([rough, noisy(image), image]), np.array([True, True, False]))
    assert found.nearest[2] == 1


def test_mirror_images_are_told_as_such():
    images = thumbnails(6)
    found = everything(np.concatenate([images, noisy(images)[:, :, ::-1]]), np.arange(12) < 6)
    np.testing.assert_array_equal(found.nearest[6:], np.arange(6))
    assert found.mirrored[6:].all()


def test_what_is_not_comparable_has_no_neighbour():
    images = thumbnails(2)
    images = np.concatenate([images, noisy(images)])
    found = near_images(images, np.array([True, False, True, True]), np.arange(4) < 2)
    assert found.nearest.tolist() == [-1, -1, 0, -1]


def test_a_film_becomes_one_group_whose_every_frame_has_a_partner(monkeypatch):
    monkeypatch.setattr("tlj.audit.near_images._AT_ONCE", 50)
    frames = np.concatenate([noisy(thumbnails(1), seed) for seed in range(60)])
    found = everything(frames, np.arange(60) % 3 > 0)
    assert len(set(found.groups)) == 1
    assert (found.nearest >= 0).all()
    assert (found.nearest % 3 > 0).all()


def test_skies_of_one_gradient_are_not_near():
    gradient = np.linspace(0, 255, 32)[None, :, None] * np.ones((2, 1, 32))
    skies = noisy(gradient.astype(np.uint8))
    assert np.corrcoef(skies.reshape(2, -1))[0, 1] > 0.99
    assert likeness(skies[:1], skies[1:])[0] < ALIKE


def test_likeness_of_a_picture_and_its_inverse_is_not_likeness():
    images = thumbnails(1)
    assert likeness(images, 255 - images)[0] < -0.9


@hypothesis.settings(derandomize=True, deadline=None, max_examples=30)
@hypothesis.given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12), st.integers(0, 12))
def test_joining_in_steps_is_joining_at_once(links, cut):
    def of(pairs, groups):
        i, j = np.array(pairs, int).reshape(-1, 2).T
        return joined(groups, i, j)

    at_once = of(links, np.arange(10))
    in_steps = of(links[cut:], of(links[:cut], np.arange(10)))
    np.testing.assert_array_equal(at_once[:, None] == at_once, in_steps[:, None] == in_steps)
