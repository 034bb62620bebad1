"""How the page writes numbers. What does not exist is an en dash."""

from __future__ import annotations

import math
import urllib.parse
from collections.abc import Callable, Mapping, Sequence

from tlj.evidence.judging.power import MOST_MORE
from tlj.evidence.words.wording import count, factor, points, points_interval

NOTHING = "–"
PREFIXES = ("", "k", "M", "G", "T", "P", "E")


def percent(share: float) -> str:
    """Returns ``0.934`` as ``93.4``."""
    return f"{100 * share:.1f}"


def percents(interval: Sequence[float] | None) -> str:
    """Returns an interval of shares as ``[91.2, 95.6]``, or nothing where there is none."""
    return "" if interval is None else f"[{percent(interval[0])}, {percent(interval[1])}]"


def points_plain(margin: float) -> str:
    """Returns a margin in points without trailing zeros, ``0.5 points``, ``1 point``."""
    number = f"{100 * margin:.6g}"
    return f"{number} point" if number == "1" else f"{number} points"


def p_value(p: float) -> str:
    """Returns a p without trailing zeros, ``0.0625``, ``0.25``."""
    return f"{p:.3g}"


def p_words(row: Mapping) -> str:
    """Returns a verdict's p, and says where it is as small as the seeds allow."""
    return f"p {p_value(row['p'])}" + (" (floor)" if row["p"] <= row["p_floor"] else "")


def seconds(value: float | None) -> str:
    """Returns a duration with a unit that suits it, ``4.2 ms``, ``3.1 s``, ``12 min``."""
    if value is None:
        return NOTHING
    for size, unit in ((3600.0, "h"), (60.0, "min")):
        if value >= 10 * size:
            return f"{_three_digits(value / size)} {unit}"
    if value >= 1:
        return f"{_three_digits(value)} s"
    return f"{_three_digits(1e3 * value)} ms" if value >= 1e-3 else f"{_three_digits(1e6 * value)} µs"


def si(value: float | None) -> str:
    """Returns a number with a decimal prefix, ``1.2 G``."""
    if value is None:
        return NOTHING
    step = min(int(math.log10(value) // 3), len(PREFIXES) - 1) if value >= 1 else 0
    return f"{_three_digits(value / 1000**step)} {PREFIXES[step]}".rstrip()


def whole(value: int | None) -> str:
    """Returns ``1,234,567``."""
    return NOTHING if value is None else f"{value:,}"


def run_link(path: str) -> str:
    """Returns the address of a run's folder, from the page that lies beside the runs."""
    return urllib.parse.quote(path) + "/"


def ratio(value: float | None) -> str:
    """Returns ``0.34×``."""
    return NOTHING if value is None else f"{value:.2f}×"


def p_or_none(p: float | None) -> str:
    """Returns a p to two digits, or nothing where there is none; a tiny one is said to be under 0.0001."""
    return NOTHING if p is None else "<0.0001" if p < 1e-4 else f"{p:.2g}"


def lost_to_holm(row: Mapping) -> bool:
    """Returns whether Holm's correction turns a verdict into another."""
    return row.get("verdict_holm") not in (None, row["verdict"])


def more_seeds(row: Mapping) -> str:
    """Returns how many seeds an undecided verdict lacks, ``about 7 more seeds``, ``over 100 more seeds``."""
    more = row["more_seeds"]
    return "over 100 more seeds" if more > MOST_MORE else f"about {more} more seed{'s' if more > 1 else ''}"


def bound(row: Mapping) -> str:
    """Returns ``≥ ``, ``≤ `` or nothing, for an effective data row."""
    return _bound(row["censored"])


def multiplier_interval(row: Mapping) -> str:
    """Returns the interval of a multiplier, its censored ends marked, ``[1.2, ≥ 5.4]``."""
    if row["multiplier_interval"] is None:
        return ""
    ends = zip(row["multiplier_interval"], row["interval_censored"], strict=True)
    return "[" + ", ".join(_bound(censored) + factor(end).removesuffix("×") for end, censored in ends) + "]"


def labels_interval(row: Mapping) -> str:
    """Returns an interval of labels, its censored ends marked, ``[12, ≥ 538]``."""
    if row["interval"] is None:
        return ""
    ends = zip(row["interval"], row["interval_censored"], strict=True)
    return "[" + ", ".join(_bound(censored) + count(end) for end, censored in ends) + "]"


def _three_digits(value: float) -> str:
    text = f"{value:#.3g}"
    return f"{value:,.0f}" if "e" in text else text.removesuffix(".")


def _bound(censored: str | None) -> str:
    return {"above": "≥ ", "below": "≤ ", None: ""}[censored]


FILTERS: dict[str, Callable] = {
    "bound": bound,
    "count": count,
    "factor": factor,
    "labels": whole,
    "labels_interval": labels_interval,
    "lost_to_holm": lost_to_holm,
    "more_seeds": more_seeds,
    "multiplier_interval": multiplier_interval,
    "p": p_value,
    "p_or_none": p_or_none,
    "p_words": p_words,
    "percent": percent,
    "percents": percents,
    "points": points,
    "points_interval": points_interval,
    "points_plain": points_plain,
    "ratio": ratio,
    "run_link": run_link,
    "seconds": seconds,
    "si": si,
    "whole": whole,
}
