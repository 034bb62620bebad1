"""Corruptions of files of any format, each a function of the content and a source of random choices."""

from __future__ import annotations

import random
from collections.abc import Callable

Corruption = Callable[[bytes, random.Random], bytes]


def flipped_bits(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice([1, 1, 4, 64])):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def flipped_bits_at_the_start(content: bytes, rng: random.Random) -> bytes:
    return flipped_bits(content[:64], rng) + content[64:]


def flipped_bits_at_the_end(content: bytes, rng: random.Random) -> bytes:
    return content[:-200] + flipped_bits(content[-200:], rng)


def truncated(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.choice([rng.randrange(len(content)), rng.randrange(64), len(content) - 1])]


def spliced(content: bytes, rng: random.Random) -> bytes:
    start, end = sorted(rng.randrange(len(content)) for _ in range(2))
    place = rng.randrange(len(content))
    return content[:place] + content[start:end] + content[rng.choice([place, place + end - start]) :]


def cut_out(content: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(content))
    return content[:start] + content[start + rng.choice([1, 4, 8, 100, 5000]) :]


def zeroed(content: bytes, rng: random.Random) -> bytes:
    start, length = rng.randrange(len(content)), rng.choice([1, 8, 64, 4000])
    return content[:start] + bytes(len(content[start : start + length])) + content[start + length :]


def not_finite(content: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(content) - 8)
    # Whatever their type and wherever they start, one number at least has all bits set, which is a NaN.
    return content[:start] + b"\xff" * 8 + content[start + 8 :]


def lengthened(content: bytes, rng: random.Random) -> bytes:
    return content + rng.randbytes(rng.choice([1, 8, 1000]))


def a_length_changed(content: bytes, rng: random.Random) -> bytes:
    """Where two bytes may say a length, in either order, they and what follows say another."""
    order = rng.choice(["little", "big"])
    places = [i for i in range(len(content) - 8) if 0 < int.from_bytes(content[i : i + 2], order) <= 512]
    place, width = rng.choice(places), rng.choice([2, 4, 8])
    now = int.from_bytes(content[place : place + width], order)
    value = rng.choice([0, 1, now + 1, now - 1, 2 * now, 2**15, 2**31, 2**63]) % 2 ** (8 * width)
    return content[:place] + value.to_bytes(width, order) + content[place + width :]


ANYWHERE = [
    *(flipped_bits, flipped_bits_at_the_start, flipped_bits_at_the_end, truncated, spliced, cut_out),
    *(zeroed, not_finite, lengthened, a_length_changed),
]
