"""Images that are nearly the same: close perceptual hashes, confirmed on the thumbnails themselves."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from tlj.audit.perceptual import close_pairs, perceptual_hashes

# Of the pairs of test and training images of CIFAR-10 with close hashes, looked at one by one, those above are copies,
# shots of one series or one car in two colours; those below are mostly two things of one shape.
ALIKE = 0.75
# Pixels a side of an image that is too small to be compared but exactly.
SMALLEST = 16
_AT_ONCE, _BLOCK = 1 << 15, 1 << 12


@dataclasses.dataclass(frozen=True, eq=False)
class NearImages:
    """What is nearly the same among n distinct images.

    Attributes:
      groups: a number for each; images linked by likeness, over however many steps, share it.
      nearest: of each, the most alike image that is in training, or -1.
      likeness: with it, up to 1; 0 where there is none.
      mirrored: whether it is its mirror image.
    """

    groups: Int[np.ndarray, " n"]
    nearest: Int[np.ndarray, " n"]
    likeness: Float[np.ndarray, " n"]
    mirrored: Bool[np.ndarray, " n"]


def near_images(
    thumbnails: UInt8[np.ndarray, "n 32 32"], comparable: Bool[np.ndarray, " n"], in_train: Bool[np.ndarray, " n"]
) -> NearImages:
    """Finds the images that are nearly the same, mirror images among them.

    Memory grows with n alone: pairs are looked at as they are found. A pair that could tell nothing new, because both
    are in one group and have a partner in training, is passed over, so that a thousand frames of one film cost little;
    of such a film the partner is one of the most alike, not surely the most.

    Args:
      thumbnails: in grey, all different.
      comparable: which of them may be near another; not flat ones, nor those of tiny images.
      in_train: which of them are in training.
    """
    found = NearImages(
        np.arange(len(thumbnails)),
        np.full(len(thumbnails), -1),
        np.zeros(len(thumbnails), np.float32),
        np.zeros(len(thumbnails), bool),
    )
    kept = np.flatnonzero(comparable)
    hashes = perceptual_hashes(thumbnails[kept])
    for mirrored in (False, True):
        other = perceptual_hashes(thumbnails[kept], mirrored=True) if mirrored else hashes
        for i, j in close_pairs(hashes, other):
            for start in range(0, len(i), _AT_ONCE):
                part = slice(start, start + _AT_ONCE)
                found = _taken_in(found, kept[i[part]], kept[j[part]], mirrored, thumbnails, in_train)
    return found


def likeness(
    left: UInt8[np.ndarray, "pairs 32 32"], right: UInt8[np.ndarray, "pairs 32 32"]
) -> Float[np.ndarray, " pairs"]:
    """Returns the mean of two correlations: of the thumbnails, and of what remains of them without their blur.

    The first is high for any two skies; the second asks for the same detail. Neither changes with brightness or
    contrast.
    """
    return (_correlation(left, right) + _correlation(_detail(left), _detail(right))) / 2


def _detail(images: UInt8[np.ndarray, "pairs 32 32"]) -> Float[np.ndarray, "pairs 28 28"]:
    from scipy.ndimage import uniform_filter

    values = images.astype(np.float32)
    # Without the border, where the blur of a plain gradient is not the gradient.
    return (values - uniform_filter(values, (0, 5, 5)))[:, 2:-2, 2:-2]


def _correlation(left: np.ndarray, right: np.ndarray) -> Float[np.ndarray, " pairs"]:
    left, right = (array.reshape(len(array), -1).astype(np.float32) for array in (left, right))
    left, right = (array - array.mean(axis=1, keepdims=True) for array in (left, right))
    # A spread below half a grey level is rounding, and correlates with nothing.
    floor = 0.5 * np.sqrt(left.shape[1])
    norms = [np.maximum(np.linalg.norm(array, axis=1), floor) for array in (left, right)]
    return np.einsum("pk,pk->p", left, right) / (norms[0] * norms[1])


def _taken_in(
    found: NearImages, i: np.ndarray, j: np.ndarray, mirrored: bool, thumbnails: np.ndarray, in_train: np.ndarray
) -> NearImages:
    settled = [~in_train[b] | (found.nearest[a] >= 0) for a, b in ((i, j), (j, i))]
    new = (found.groups[i] != found.groups[j]) | ~(settled[0] & settled[1])
    i, j = i[new], j[new]
    alike = [
        likeness(thumbnails[i[block]], _turned(thumbnails[j[block]], mirrored))
        for start in range(0, len(i), _BLOCK)
        if (block := slice(start, start + _BLOCK))
    ]
    alike = np.concatenate(alike) if alike else np.zeros(0, np.float32)
    sure = alike >= ALIKE
    i, j, alike = i[sure], j[sure], alike[sure]
    if not len(i):
        return found
    for a, b in ((i, j), (j, i)):
        _remember_nearest(found, a, b, alike, mirrored, in_train)
    return dataclasses.replace(found, groups=joined(found.groups, i, j))


def _turned(images: np.ndarray, mirrored: bool) -> np.ndarray:
    return images[:, :, ::-1] if mirrored else images


def _remember_nearest(
    found: NearImages, a: np.ndarray, b: np.ndarray, alike: np.ndarray, mirrored: bool, in_train: np.ndarray
) -> None:
    chosen = in_train[b] & (alike > found.likeness[a])
    a, b, alike = a[chosen], b[chosen], alike[chosen]
    # Ascending, so that of several for one image the most alike is written last.
    order = np.argsort(alike, kind="stable")
    found.nearest[a[order]], found.likeness[a[order]] = b[order], alike[order]
    found.mirrored[a[order]] = mirrored


def joined(
    groups: Int[np.ndarray, " n"], i: Int[np.ndarray, " pairs"], j: Int[np.ndarray, " pairs"]
) -> Int[np.ndarray, " n"]:
    """Returns the groups when each ``i`` and its ``j`` are put into one.

    Args:
      groups: a number for each of n things, below n.
      i: some of the things.
      j: as many.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    size = len(groups)
    links = coo_array((np.ones(len(i), bool), (groups[i], groups[j])), shape=(size, size))
    return connected_components(links, directed=False)[1][groups]
