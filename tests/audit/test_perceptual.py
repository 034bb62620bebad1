"""The perceptual hash, and the search for close hashes."""

import hypothesis
import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tlj.audit.perceptual import RADIUS, close_pairs, perceptual_hashes


def found(left: np.ndarray, right: np.ndarray) -> list[tuple[int, int]]:
    return sorted((int(i), int(j)) for some in close_pairs(left, right) for i, j in zip(*some, strict=True))


def compared_one_by_one(left: np.ndarray, right: np.ndarray) -> list[tuple[int, int]]:
    distance = np.bitwise_count(left[:, None] ^ right[None])
    return [(int(i), int(j)) for i, j in np.argwhere(distance <= RADIUS) if i < j]


@hypothesis.settings(derandomize=True, deadline=None, max_examples=40)
@hypothesis.given(
    arrays.arrays(np.uint64, st.integers(2, 12), elements=st.integers(0, 2**64 - 1)),
    st.lists(st.lists(st.integers(0, 63), max_size=12), min_size=1, max_size=12),
)
def test_every_close_pair_is_found_once_and_no_other(hashes, flips):
    changed = [h ^ np.uint64(sum(1 << bit for bit in set(bits))) for h, bits in zip(hashes, flips, strict=False)]
    both = np.concatenate([hashes, np.array(changed, np.uint64)])
    assert found(both, both) == compared_one_by_one(both, both)
    assert found(both, both[::-1].copy()) == compared_one_by_one(both, both[::-1])


def test_the_radius_is_met_wherever_the_bits_lie():
    for bits in ([0, 16, 32, 48, 1, 17, 33], [0, 1, 16, 17, 32, 33, 48], list(range(7)), list(range(57, 64))):
        near = np.array([0, sum(1 << bit for bit in bits)], np.uint64)
        assert found(near, near) == [(0, 1)]
        beyond = np.array([0, sum(1 << bit for bit in [*bits, 40])], np.uint64)
        assert found(beyond, beyond) == []


def test_a_band_may_differ_in_any_one_of_its_bits():
    for single in range(64):
        others = [16 * band + bit for band in range(4) for bit in (3, 4) if band != single // 16]
        near = np.array([0, sum(1 << bit for bit in [single, *others])], np.uint64)
        assert found(near, near) == [(0, 1)]


def test_pairs_come_in_stretches_and_none_is_lost_between_them(monkeypatch):
    monkeypatch.setattr("tlj.audit.perceptual._MOST_PAIRS", 7)
    hashes = np.random.default_rng(0).integers(0, 4, 60).astype(np.uint64)
    assert found(hashes, hashes) == compared_one_by_one(hashes, hashes)


def test_the_hash_of_the_mirror_image_needs_no_mirror_image():
    thumbnails = np.random.default_rng(0).integers(0, 256, (5, 32, 32), np.uint8)
    mirrored = perceptual_hashes(thumbnails, mirrored=True)
    np.testing.assert_array_equal(mirrored, perceptual_hashes(thumbnails[:, :, ::-1]))
    assert not (mirrored == perceptual_hashes(thumbnails)).any()


def test_brightness_does_not_change_the_hash():
    thumbnails = np.random.default_rng(0).integers(20, 200, (5, 32, 32), np.uint8)
    np.testing.assert_array_equal(perceptual_hashes(thumbnails), perceptual_hashes(thumbnails + 40))
