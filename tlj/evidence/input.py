"""What the runs of a comparison say of their input: waiting, padding, and examples that were left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tlj.evidence.runs import Comparison
from tlj.evidence.words import formatting


def input_facts(comparison: Comparison) -> dict[str, Any]:
    """Returns what of the input depends on config and seeds alone.

    Args:
      comparison: the runs.

    Returns:
      ``padding_share``, the mean share of tokens that were padding (None for images), and ``skipped``, the number of
      examples that could not be read and were left out.
    """
    found = [(run.summary.get("input") or {}).get("padding_share") for run in comparison.runs]
    shares = [share for share in found if share is not None]
    data = (comparison.manifest or {}).get("data") or {}
    return {
        "padding_share": sum(shares) / len(shares) if shares else None,
        "skipped": len(data.get("skipped") or ()),
    }


def waiting_share(timing: Mapping[str, Any]) -> float | None:
    """Returns the share of the seconds of training that the runs spent waiting for input; None where nobody measured.

    Args:
      timing: of the comparison's summary.
    """
    totals = list(timing["runs_by_arm"].values())
    train_s = sum(row.get("train_s", 0.0) for row in totals)
    return sum(row.get("input_wait_s", 0.0) for row in totals) / train_s if train_s else None


def input_words(facts: Mapping[str, Any], waiting: float | None) -> str | None:
    """Returns the input in a sentence for the page, or None where there is nothing to say.

    Args:
      facts: of ``input_facts``.
      waiting: of ``waiting_share``.
    """
    parts = [] if waiting is None else [f"{formatting.percent(waiting)} % of training time spent waiting for it"]
    if facts["padding_share"] is not None:
        parts.append(f"{formatting.percent(facts['padding_share'])} % of tokens were padding")
    if facts["skipped"]:
        parts.append(f"left out because it could not be read: {facts['skipped']:,} (listed in manifest.json)")
    return "; ".join(parts) or None
