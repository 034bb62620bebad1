"""What tells the class, or the split, without the content being looked at: a format, a size, a length."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int

# Cramér's V of a table of two by two, (has the value or not) by (in the class or not), from which a value tells a
# class. 0.5 is a large effect after Cohen (1988, table 7.2.3).
TELLING_V = 0.5
# Largest distance of two distribution functions (Kolmogorov and Smirnov) from which a number tells a class.
TELLING_DISTANCE = 0.6
# The chance of one such table where nothing is told, times the number of tables: few examples are no evidence.
_CHANCE = 1e-3
_FEWEST = 5


@dataclasses.dataclass(frozen=True)
class Suspicion:
    """One property that tells one class from the rest.

    Attributes:
      name: of the class, or of the split.
      property: for example ``"format"``.
      value: that marks it; for a number, ``"larger"`` or ``"smaller"``.
      association: Cramér's V, or the distance of Kolmogorov and Smirnov; 1 is a perfect mark.
      inside: share of the class that has the value; of a number, the median in the class.
      elsewhere: the same of the rest.
      numeric: whether it is a number.
    """

    name: str
    property: str
    value: str
    association: float
    inside: float
    elsewhere: float
    numeric: bool = False


def telling_values(
    labels: Int[np.ndarray, " n"], names: Sequence[str], properties: Mapping[str, Sequence[str]]
) -> list[Suspicion]:
    """Returns the values that mark a class, the surest of each class and property.

    Args:
      labels: of the examples.
      names: of the classes.
      properties: of every example, by name of the property.
    """
    found = []
    for name, values in properties.items():
        words, value = np.unique(np.asarray(values, str), return_inverse=True)
        if len(words) < 2 or len(np.unique(labels)) < 2:
            continue
        cells, both = np.unique(labels.astype(np.int64) * len(words) + value, return_counts=True)
        label, word = cells // len(words), cells % len(words)
        n, rows, columns = len(labels), np.bincount(labels), np.bincount(value)
        row, column = rows[label].astype(float), columns[word].astype(float)
        association = (n * both - row * column) / np.sqrt(row * (n - row) * column * (n - column))
        # A value whose holders are mostly elsewhere marks no class, however many of the class hold it.
        telling = (association >= TELLING_V) & (both >= _FEWEST) & (2 * both > column)
        telling &= _chance(n * association**2) * len(cells) <= _CHANCE
        for at in np.flatnonzero(telling):
            inside, elsewhere = both[at] / row[at], (column[at] - both[at]) / (n - row[at])
            found.append(
                Suspicion(
                    names[label[at]],
                    name,
                    str(words[word[at]]),
                    float(association[at]),
                    float(inside),
                    float(elsewhere),
                )
            )
    return _surest(found)


def telling_numbers(
    labels: Int[np.ndarray, " n"], names: Sequence[str], properties: Mapping[str, np.ndarray]
) -> list[Suspicion]:
    """Returns the numbers that are so much larger or smaller in a class that they mark it.

    Args:
      labels: of the examples.
      names: of the classes.
      properties: of every example, by name of the property.
    """
    found = []
    present = np.flatnonzero(np.bincount(labels) >= _FEWEST)
    for name, values in properties.items():
        order = np.argsort(values, kind="stable")
        ordered = np.asarray(values)[order]
        # A distribution function is read at the last of equal values alone.
        last = np.append(ordered[1:] != ordered[:-1], True)
        for label in present:
            inside = labels[order] == label
            count, rest = inside.sum(), (~inside).sum()
            if rest < _FEWEST:
                continue
            gap = (np.cumsum(inside) / count - np.cumsum(~inside) / rest)[last]
            at = int(np.abs(gap).argmax())
            distance = float(abs(gap[at]))
            # Massart's bound for two samples.
            chance = 2 * np.exp(-2 * distance**2 * count * rest / (count + rest))
            if distance >= TELLING_DISTANCE and chance * len(present) * len(properties) <= _CHANCE:
                medians = (float(np.median(ordered[mask])) for mask in (inside, ~inside))
                value = "smaller" if gap[at] > 0 else "larger"
                found.append(Suspicion(names[label], name, value, distance, *medians, numeric=True))
    return _surest(found)


def _chance(statistic: np.ndarray) -> np.ndarray:
    from scipy.stats import chi2

    return chi2.sf(statistic, 1)


def _surest(found: Sequence[Suspicion]) -> list[Suspicion]:
    best = {}
    for suspicion in sorted(found, key=lambda one: -one.association):
        best.setdefault((suspicion.name, suspicion.property), suspicion)
    return list(best.values())
