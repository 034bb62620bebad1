"""The largest batch per chip that fits: a line through the memory of two batches, proved by compiling at its answer."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

from tlj.benchmark.topology.facts import Answer, Facts, TooLarge

# What the matrix units of a TPU and the tiles of its memory are made for; below it every number is tried.
MULTIPLE = 8
# Compilations that prove an estimate, at most; each that fails makes the next estimate smaller.
MOST_PROOFS = 3
# No larger than so many times the batch that was asked for: beyond it a run is another run.
MOST_TIMES = 64


@dataclasses.dataclass(frozen=True)
class Largest:
    """What was found.

    Attributes:
      batch: examples per chip; 0 where not even one fits.
      is_proved: whether the compiler has taken it; else nothing that was tried fits.
      is_capped: whether more would fit, and was not looked for.
      compiled: batches per chip that the compiler was asked about, in order.
    """

    batch: int
    is_proved: bool
    is_capped: bool
    compiled: tuple[int, ...]


def largest_batch(
    ask: Callable[[int], Answer],
    batch: int,
    answer: Answer,
    usable_bytes: float,
    *,
    multiple: int = 1,
    guess: int = 0,
) -> Largest:
    """Finds the largest batch per chip, a multiple of 8 where it is at least 8.

    Args:
      ask: compiles at a batch per chip.
      batch: that the compiler has been asked about.
      answer: what it said.
      usable_bytes: of a chip's memory.
      multiple: of which a batch must be one, such as the parts that it is computed in.
      guess: what another slice of the same chips found; 0 is none.
    """
    second = _rounded(guess, multiple) or _rounded(batch // 2, multiple) or _rounded(2 * batch, multiple)
    if second == batch:
        second = 2 * batch
    answers = {batch: answer, second: ask(second)}
    for proof in range(MOST_PROOFS + 1):
        most = MOST_TIMES * batch
        found = _fitting(answers, usable_bytes)
        estimate = min(_estimate(answers, usable_bytes, multiple), _rounded(most, multiple))
        # After the first proof an eighth more is not worth a compilation of minutes.
        worth_it = found * 9 // 8 if proof else found
        if estimate <= worth_it or proof == MOST_PROOFS:
            break
        answers[estimate] = ask(estimate)
    return Largest(found, found > 0, found >= _rounded(most, multiple), tuple(answers))


def _fitting(answers: dict[int, Answer], usable_bytes: float) -> int:
    fitting = [b for b, a in answers.items() if isinstance(a, Facts) and a.peak_bytes <= usable_bytes]
    return max(fitting, default=0)


def _estimate(answers: dict[int, Answer], usable_bytes: float, multiple: int) -> int:
    """Where the line through the two batches nearest to the limit crosses it, and below any that was refused."""
    needed = {b: a.needed_bytes if isinstance(a, TooLarge) else a.peak_bytes for b, a in answers.items()}
    (low, at_low), (high, at_high) = sorted(sorted(needed.items(), key=lambda item: abs(item[1] - usable_bytes))[:2])
    refused = [b for b, bytes_ in needed.items() if bytes_ > usable_bytes or isinstance(answers[b], TooLarge)]
    ceiling = _rounded(min(refused) - 1, multiple) if refused else None
    per_example = (at_high - at_low) / (high - low)
    if per_example <= 0:
        return ceiling if ceiling is not None else _rounded(MOST_TIMES * high, multiple)
    estimate = _rounded(int(low + (usable_bytes - at_low) / per_example), multiple)
    return max(min(estimate, ceiling) if ceiling is not None else estimate, 0)


def _rounded(batch: int, multiple: int) -> int:
    """The largest batch that is not above one and that is tried."""
    step = multiple if batch < MULTIPLE else math.lcm(multiple, MULTIPLE)
    return max(batch, 0) // step * step
