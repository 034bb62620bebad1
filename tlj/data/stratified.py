"""One order of labelled examples of which every prefix is a fair part: each class within one example of its share."""

from __future__ import annotations

import functools
import heapq
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from tlj.streams import generator

# A comparison asks for one order per seed again and again; few of a large source fill as much memory as many small.
_SMALL, _ORDERS_OF_SMALL, _ORDERS_OF_LARGE = 50_000, 64, 4


def by_class(labels: Int[np.ndarray, " n"]) -> tuple[Int[np.ndarray, " classes"], list[Int[np.ndarray, " places"]]]:
    """Returns the labels that occur, ascending, and the places of each, ascending."""
    names, counts = np.unique(labels, return_counts=True)
    return names, np.split(np.argsort(labels, kind="stable"), np.cumsum(counts)[:-1])[: len(names)]


def _seats(counts: Sequence[int], ties: Sequence[float]) -> Int[np.ndarray, " n"]:
    """Gives each place to the class with the best claim to it among those that it would not lift above their share.

    The quota method of Balinski & Young (1975): a class's claim is its count by one more than it has; its share of the
    first so many places is rounded up. A class that has ``t`` of its ``c`` examples may have the next from place
    ``floor(t n / c)`` on, so that a heap of those that wait and a heap of those that may do it in O(n log classes).

    Args:
      counts: examples of each class.
      ties: added to the claim of each, less than any difference between two.
    """
    total, taken = sum(counts), [0] * len(counts)
    waiting: list[tuple[int, int]] = []
    eligible = [(-(count + tie), chosen) for chosen, (count, tie) in enumerate(zip(counts, ties, strict=True))]
    heapq.heapify(eligible)
    seats = np.empty(total, np.int32)
    for place in range(total):
        while waiting and waiting[0][0] <= place:
            chosen = heapq.heappop(waiting)[1]
            heapq.heappush(eligible, (-(counts[chosen] / (taken[chosen] + 1) + ties[chosen]), chosen))
        chosen = heapq.heappop(eligible)[1]
        seats[place] = chosen
        taken[chosen] += 1
        heapq.heappush(waiting, (taken[chosen] * total // counts[chosen], chosen))
    return seats


def _stratified_order(labels: bytes, seed: int, part: int) -> Int[np.ndarray, " n"]:
    """Orders examples so that every prefix holds each class within one example of its share.

    Args:
      labels: the bytes of an int32 array.
      seed: of the ``data`` stream.
      part: of the stream.
    """
    rng = generator(seed, "data", part)
    _, members = by_class(np.frombuffer(labels, np.int32))
    shuffled = [rng.permutation(places) for places in members]
    ties = rng.permutation(len(members)) * 1e-12
    seats = _seats([len(places) for places in members], ties.tolist())
    order = np.empty(len(seats), np.int32)
    if members:
        order[np.argsort(seats, kind="stable")] = np.concatenate(shuffled)
    order.flags.writeable = False
    return order


_order_of_small = functools.lru_cache(maxsize=_ORDERS_OF_SMALL)(_stratified_order)
_order_of_large = functools.lru_cache(maxsize=_ORDERS_OF_LARGE)(_stratified_order)


def stratified_order(labels: Int[np.ndarray, " n"], seed: int, part: int) -> Int[np.ndarray, " n"]:
    """Returns the order of a source, of which every prefix holds each class within one example of its share.

    Args:
      labels: of every example.
      seed: of the ``data`` stream.
      part: of the stream; 0 is that of the test split, 1 that of the label budgets.
    """
    kept = _order_of_small if len(labels) <= _SMALL else _order_of_large
    return kept(np.ascontiguousarray(labels, np.int32).tobytes(), seed, part).astype(int)
