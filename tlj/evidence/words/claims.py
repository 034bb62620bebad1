"""What people say of transfer learning, beside what this comparison measured: with its interval, or "not measured"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tlj.evidence.judging.statistics import mean_interval
from tlj.evidence.scores.judged import Metric
from tlj.evidence.words.formatting import percent
from tlj.evidence.words.metric_words import difference, differences, unit
from tlj.evidence.words.wording import MINUS, listed, of_labels

NOT_MEASURED = "not measured"
Summary = Mapping[str, Any]


def claims(summary: Summary) -> list[dict[str, Any]]:
    """Returns the common claims, each with what this comparison found.

    Args:
      summary: ``summary.json``, with everything but the claims.

    Returns:
      Rows of ``claim``, ``here`` (in words, or "not measured"), ``measured`` and ``section``, the part of the page that
      has the numbers with the runs behind them.
    """
    told = (
        ("80 to 90 % fewer labels", _fewer_labels(summary), "effective"),
        ("85 to 95 % of the accuracy of training from scratch, at a fraction of the cost", _share(summary), "cost"),
        ("Training is dozens of times shorter", _shorter(summary), "learning"),
        ("60 to 80 % cheaper", _cheaper(summary), "cost"),
        ("Fine-tuning beats feature extraction", _fine_tuning(summary), "verdicts"),
        ("Between unlike domains transfer hurts", _negative(summary), "effective"),
    )
    return [
        {"claim": claim, "here": here or NOT_MEASURED, "measured": bool(here), "section": section}
        for claim, here, section in told
    ]


def _transferred(summary: Summary) -> list[str]:
    return [arm["arm"] for arm in summary["arms"] if arm["role"] == "transfer"]


def _lead(summary: Summary, rows: Sequence[Mapping], better) -> Mapping | None:
    """The row of the transferred arm that does best by what is asked."""
    return max((row for row in rows if row["arm"] in _transferred(summary)), key=better, default=None)


def _fewer_labels(summary: Summary) -> str:
    """The labels that the best arm saves at the smallest and the largest budget, by what is judged where it can be."""
    found = [row["measure"] for row in summary["effective_data"]]
    by_loss = ("nll", "error") if summary["metric"] in ("nll", "brier") else ("error", "nll")
    measure = next((name for name in (*by_loss, "loss") if name in found), None)
    rows = [row for row in summary["effective_data"] if row["measure"] == measure and row["budget"] != 0]
    said = []
    for budget in dict.fromkeys(row["budget"] for row in rows):
        best = _lead(summary, [row for row in rows if row["budget"] == budget], lambda row: row["multiplier"])
        if best is not None:
            said.append(_saving(best))
    by = {"error": "test error", "nll": "test loss", "loss": "test loss"}[measure] if measure else ""
    return f"by {by}, {'; '.join(dict.fromkeys((said[0], said[-1])))}" if said else ""


def _saving(row: Mapping) -> str:
    """What part of the labels an arm saves: 1 - 1/m of those that the twin needs for the same."""
    bound = {"above": "at least ", "below": "at most ", None: ""}[row["censored"]]
    text = f"{row['arm']} with {of_labels(row['budget'])} saves {bound}{_signed(1 - 1 / row['multiplier'])} %"
    if row["multiplier_interval"] is None:
        return text
    low, high = row["multiplier_interval"]
    ends = zip((low, high), row["interval_censored"], strict=True)
    marks = {"above": "≥ ", "below": "≤ ", None: ""}
    return f"{text} [{', '.join(marks[censored] + _signed(1 - 1 / end) for end, censored in ends)}]"


def _signed(share: float) -> str:
    return percent(share).replace("-", MINUS)


def _share(summary: Summary) -> str:
    """The accuracy of the cheapest arm over the twin's, at the largest budget that both have, and its cost."""
    if summary["metric"] != "accuracy":
        return ""
    cost = {row["arm"]: row for row in summary["cost"]["arms"]}
    cells = {(cell["arm"], cell["budget"]): cell for cell in summary["cells"]}
    twin, found = summary["twin"], []
    for arm in _transferred(summary):
        budgets = [b for b in summary["budgets"] if (arm, b) in cells and (twin, b) in cells]
        if budgets and cost[arm]["relative_flops"] is not None:
            found.append((cost[arm]["relative_flops"], arm, budgets[-1]))
    if not found:
        return ""
    relative, arm, budget = min(found)
    own, of_twin = (dict(zip(c["seeds"], c["values"], strict=True)) for c in (cells[arm, budget], cells[twin, budget]))
    ratios = [own[seed] / of_twin[seed] for seed in own if of_twin.get(seed)]
    if not ratios:
        return ""
    estimate = mean_interval(np.array(ratios))
    interval = "" if estimate.low is None else f" [{_signed(estimate.low)}, {_signed(estimate.high)}]"
    return (
        f"{arm}, which takes the fewest FLOPs, reaches {percent(estimate.mean)} %{interval} of {twin}'s accuracy at "
        f"{of_labels(budget)} with {percent(relative)} % of the training FLOPs{_time(cost[arm])}"
    )


def _time(row: Mapping) -> str:
    return "" if row["relative_time"] is None else f" and {percent(row['relative_time'])} % of the step time"


def _shorter(summary: Summary) -> str:
    """How much sooner the arms reach the lowest validation loss of the twin, at the largest budget."""
    cells = {(c["arm"], c["budget"]): c for c in (summary.get("learning") or {}).get("cells") or ()}
    cost = {row["arm"]: row for row in summary["cost"]["arms"]}
    twin, said = summary["twin"], []
    for budget in reversed(summary["budgets"]):
        of_twin = (cells.get((twin, budget)) or {}).get("lowest")
        # A twin that is at its lowest before it trains has taken no time that could be shortened.
        for arm in _transferred(summary) if of_twin and of_twin["step"] else ():
            curve = (cells.get((arm, budget)) or {}).get("validation")
            if not curve or not curve["steps"]:
                continue
            reached = _first(curve, of_twin["loss"])
            if not reached:
                said.append(f"{arm} never" if reached is None else f"{arm} before it trains")
                continue
            pace = cost[arm]["relative_time"] if cost[arm]["relative_time"] is not None else 1.0
            bound = "at least " if reached == curve["steps"][0] else ""
            said.append(f"{arm} {bound}{of_twin['step'] / (reached * pace):.2g} times sooner")
        if said:
            unit = "seconds of training" if any(row["relative_time"] is not None for row in cost.values()) else "steps"
            return (
                f"at {of_labels(budget)}, in {unit}, the lowest validation loss of {twin} is reached: {listed(said)} "
                "(as validated, every so many steps; means over seeds, without an interval)"
            )
    return ""


def _first(curve: Mapping, loss: float) -> int | None:
    """The first step at which a curve is as low as a loss."""
    return next((step for step, value in zip(curve["steps"], curve["loss"], strict=True) if value <= loss), None)


def _cheaper(summary: Summary) -> str:
    """What a run of each arm costs less than one of the twin, at the same number of steps."""
    cost = {row["arm"]: row["accelerator_seconds_per_run"] for row in summary["cost"]["arms"]}
    of_twin = cost.get(summary["twin"])
    if not of_twin:
        return ""
    said = [f"{arm} {_signed(1 - cost[arm] / of_twin)} %" for arm in _transferred(summary) if cost[arm] is not None]
    if not said:
        return ""
    return (
        f"in accelerator-seconds a run, the pretraining not counted, cheaper than {summary['twin']} by: {listed(said)}"
    )


def _fine_tuning(summary: Summary) -> str:
    """Full fine-tuning against the linear probe, from the same start."""
    strategies = {arm["arm"]: (arm["strategy"], arm["init"]) for arm in summary["arms"]}
    full = [arm for arm, told in strategies.items() if told == ("full", "pretrained")]
    probe = [arm for arm, told in strategies.items() if told == ("linear_probe", "pretrained")]
    rows = [
        (row, 1 if row["arm"] in full else -1)
        for row in summary["pairs"]
        if {row["arm"], row["against"]} == {*full[:1], *probe[:1]} and full and probe
    ]
    said = [_against(row, sign, Metric(summary["metric"])) for row, sign in rows]
    return "full minus linear_probe: " + "; ".join(said) if said else ""


def _against(row: Mapping, sign: int, metric: Metric) -> str:
    interval = (
        "" if row["interval"] is None else f" {differences(sorted(sign * end for end in row['interval']), metric)}"
    )
    return f"{difference(sign * row['difference'], metric)} {unit(metric)}{interval} at {of_labels(row['budget'])}"


def _negative(summary: Summary) -> str:
    """Where an arm fell behind the twin, and how far apart the two data sets are."""
    rows = [row for row in summary["verdicts"] if row["arm"] in _transferred(summary) and row["interval"] is not None]
    if not rows:
        return ""
    hurt = [f"{row['arm']} at {of_labels(row['budget'])}" for row in rows if row["verdict"] == "hurts"]
    text = f"hurts: {listed(hurt)}" if hurt else f"in none of {len(rows)} cells does the interval lie below zero"
    distance = ((summary.get("screening") or {}).get("source") or {}).get("distance")
    if distance is None:
        return f"{text}; how unlike the two domains are was not measured"
    return f"{text}; the proxy A-distance of the two data sets is {distance:.2f} (0 alike, 2 told apart by a line)"
