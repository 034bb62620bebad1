import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tlj.data.augment.move import flipped, shifted
from tlj.streams import key


@pytest.fixture(scope="module")
def images():
    # No zeros, so that what a shift brings in at the border can be told from the image.
    return np.random.default_rng(0).integers(1, 256, (64, 6, 6, 3), dtype=np.uint8)


def shifts_of(image: np.ndarray, result: np.ndarray, margin: int) -> list[tuple[int, int]]:
    """All shifts, rows then columns, that turn the image into the result with zeros coming in."""
    padded = np.pad(image, ((margin, margin), (margin, margin), (0, 0)))
    height, width, _ = image.shape
    return [
        (row, column)
        for row in range(2 * margin + 1)
        for column in range(2 * margin + 1)
        if np.array_equal(padded[row : row + height, column : column + width], result)
    ]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_shift_moves_each_image_whole_with_zeros_at_the_border(images, dtype):
    found = np.asarray(shifted(images.astype(dtype), key(0, "augment"), 1))
    assert found.dtype == dtype
    matches = [shifts_of(image, result, 1) for image, result in zip(images, found, strict=True)]
    assert all(len(shifts) == 1 for shifts in matches)
    # 64 images over nine shifts: every shift occurs, also none at all and both extremes.
    assert len({shifts[0] for shifts in matches}) == 9


def test_shifts_are_those_of_runs_made_before_there_were_other_changes(images):
    offsets = jax.random.randint(key(3, "augment"), (len(images), 2), 0, 5)
    found = np.asarray(shifted(images, key(3, "augment"), 2))
    for image, result, offset in zip(images, found, np.asarray(offsets), strict=True):
        assert tuple(offset.tolist()) in shifts_of(image, result, 2)


def test_half_of_the_images_are_mirrored_left_to_right():
    images = jnp.arange(4000 * 2 * 3, dtype=jnp.float32).reshape(4000, 2, 3, 1)
    found = np.asarray(flipped(images, key(0, "augment")))
    mirrored = (found == np.asarray(images)[:, :, ::-1]).all((1, 2, 3))
    same = (found == np.asarray(images)).all((1, 2, 3))
    assert (mirrored ^ same).all()
    # Six standard deviations of a fair coin.
    assert abs(mirrored.mean() - 0.5) < 6 * 0.5 / np.sqrt(4000)


def test_a_flip_keeps_bytes(images):
    assert flipped(images, key(0, "augment")).dtype == np.uint8
