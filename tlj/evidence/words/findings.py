"""What follows the answer: each other arm in a sentence, what the control shows, what the labels are worth."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from tlj.evidence.judging.statistics import CONFIDENCE, seeds_to_reach
from tlj.evidence.judging.verdict import HELPS, PairVerdict
from tlj.evidence.labels.effective_data import EffectiveData
from tlj.evidence.runs import Arm, Comparison
from tlj.evidence.words.answer import TRANSFER, Evidence, Stretch, stretches_of
from tlj.evidence.words.metric_words import ACCURACY, named, quoted
from tlj.evidence.words.wording import count, described, factor, listed, of_labels, sentence, where

AGAINST_TWIN = {
    "helps": "gains on scratch",
    "helps-small": "gains on scratch by less than the margin",
    "hurts": "falls behind scratch",
    "equivalent": "equals scratch within the margin",
    "undecided": "cannot be told from scratch",
}
AGAINST_LEAD = {
    "helps": "beats {lead}",
    "helps-small": "beats {lead} by less than the margin",
    "hurts": "trails {lead}",
    "equivalent": "equals {lead} within the margin",
    "undecided": "cannot be told from {lead}",
}


def findings(evidence: Evidence, effective: Sequence[EffectiveData]) -> list[str]:
    """Says what else the comparison shows, a sentence or two per fact.

    Args:
      evidence: the arms, the budgets and the verdicts.
      effective: the effective data of every arm.

    Returns:
      Sentences: the lead arm in labels, each other transferred arm, each control.
    """
    stretches = stretches_of(evidence)
    lead = _lead(evidence, stretches)
    if lead is None:
        return []
    said = [_labels_saved(lead, stretches, effective, evidence.metric.lower_is_better)]
    said += [_trajectory(evidence, arm, lead) for arm in evidence.transferred if arm != lead]
    if not any(stretch.decision == TRANSFER and stretch.arm == lead for stretch in stretches):
        said.append(_trajectory(evidence, lead, None))
    said += [_control(evidence, arm, lead) for arm in evidence.arms if arm.role == "control"]
    return [text for text in said if text]


def _lead(evidence: Evidence, stretches: Sequence[Stretch]) -> Arm | None:
    won = [stretch for stretch in stretches if stretch.decision == TRANSFER]
    if won:
        return max(won, key=lambda stretch: len(stretch.budgets)).arm
    run = [arm for arm in evidence.transferred if any(evidence.against_twin(arm, b) for b in evidence.budgets)]
    return max(run, key=lambda arm: evidence.total(arm, evidence.budgets), default=None)


def _labels_saved(
    lead: Arm, stretches: Sequence[Stretch], effective: Sequence[EffectiveData], lower_is_better: bool
) -> str:
    won = [b for s in stretches if s.decision == TRANSFER and s.arm == lead for b in s.budgets]
    measured = [row for row in effective if row.arm == lead.name and row.measure in ("error", "nll", "loss")]
    # By what a comparison of losses is judged by, too; sets of classes and numbers have the loss alone.
    by_loss = lower_is_better or not any(row.measure == "error" for row in measured)
    rows = {row.budget: row for row in measured if (row.measure != "error") == by_loss}
    told = [rows[budget] for budget in dict.fromkeys((won[0], won[-1])) if budget in rows] if won else []
    if not told:
        return ""
    measure = "loss" if by_loss else "error"
    return sentence(f"in labels, judged by test {measure}: {listed(_worth(row) for row in told)}.")


def _worth(row: EffectiveData) -> str:
    bound = {"above": "at least ", "below": "at most ", None: "about "}[row.censored]
    labels = f"{bound}{count(row.effective_labels)}{_within(row)}"
    text = f"{of_labels(row.budget)} with {row.arm} do the work of {labels} from scratch"
    return f"{text} ({factor(row.multiplier)})" if row.censored is None else text


def _within(row: EffectiveData) -> str:
    """The interval, its ends marked where they are bounds; nothing where it says no more than the bound itself."""
    if row.interval is None or (row.censored is not None and set(row.interval_censored) == {row.censored}):
        return ""
    marks = {"above": "≥ ", "below": "≤ ", None: ""}
    ends = (f"{marks[side]}{count(end)}" for end, side in zip(row.interval, row.interval_censored, strict=True))
    return f" [{', '.join(ends)}]"


def _trajectory(evidence: Evidence, arm: Arm, lead: Arm | None) -> str:
    parts = _stretches(evidence, arm.name, evidence.twin.name, AGAINST_TWIN, numbers=True)
    if not parts:
        return ""
    text = f"{described(arm)} {listed(parts)}"
    if lead is not None:
        against = {verdict: words.format(lead=lead.name) for verdict, words in AGAINST_LEAD.items()}
        text += f"; it {listed(_stretches(evidence, arm.name, lead.name, against, numbers=False))}"
    return sentence(text + ".")


def _stretches(evidence: Evidence, arm: str, against: str, words: dict[str, str], numbers: bool) -> list[str]:
    rows = [row for b in evidence.budgets if (row := evidence.verdicts.get((arm, against, b)))]
    budgets = [row.budget for row in rows]
    parts = []
    for verdict, group in groupby(rows, key=lambda row: row.verdict):
        stretch = list(group)
        each = "any" if verdict == "undecided" else "every"
        text = f"{words[verdict]} {where([row.budget for row in stretch], budgets, each)}"
        if numbers and verdict in (*HELPS, "hurts"):
            largest = max(stretch, key=lambda row: abs(row.difference.estimate.mean))
            text += f" ({quoted(largest.difference.estimate, evidence.metric)}" + (
                ")" if len(stretch) == 1 else f" at {largest.budget:,})"
            )
        parts.append(text)
    return parts


def _control(evidence: Evidence, control: Arm, lead: Arm) -> str:
    same = [arm for arm in evidence.transferred if arm.strategy == control.strategy]
    if control.init != "mean_var" or not same:
        return _trajectory(evidence, control, None)
    pretrained = lead if lead in same else same[0]
    rows = [row for b in evidence.budgets if (row := _split(evidence, pretrained, control, b))]
    if not rows:
        return _trajectory(evidence, control, None)
    whole, scale, features = max(rows, key=lambda row: row[0].difference.estimate.mean)
    of_all, of_scale, of_features = (
        quoted(row.difference.estimate, evidence.metric) for row in (whole, scale, features)
    )
    verdict = {"hurts": "costs", "helps": "gives", "helps-small": "gives"}.get(scale.verdict, "gives no sure gain,")
    text = (
        f"of the gain of {pretrained.name} at {of_labels(whole.budget)}, "
        f"{of_all}, the scale of the weights alone ({control.name}: each leaf redrawn with "
        f"its pretrained mean and variance) {verdict} {of_scale}, and the features add {of_features}"
    )
    against = {verdict: words.format(lead=control.name) for verdict, words in AGAINST_LEAD.items()}
    parts = _stretches(evidence, pretrained.name, control.name, against, numbers=False)
    return sentence(f"{text}; {pretrained.name} {listed(parts)}.")


def _split(
    evidence: Evidence, pretrained: Arm, control: Arm, budget: int
) -> tuple[PairVerdict, PairVerdict, PairVerdict] | None:
    twin = evidence.twin.name
    names = ((pretrained.name, twin), (control.name, twin), (pretrained.name, control.name))
    rows = [evidence.verdicts.get((arm, against, budget)) for arm, against in names]
    if None in rows or rows[0].verdict not in HELPS or len({row.seeds for row in rows}) > 1:
        return None
    return tuple(rows)


def notes(evidence: Evidence, test_examples: int | None) -> list[str]:
    """Says what the intervals and tests cover, and what they do not.

    Args:
      evidence: the arms, the budgets and the verdicts.
      test_examples: the size of the test set.

    Returns:
      Sentences.
    """
    rows = [row for (_, against, _), row in evidence.verdicts.items() if against == evidence.twin.name]
    if not rows:
        return []
    seeds = max(len(row.seeds) for row in rows)
    floor = min(row.difference.p_floor for row in rows)
    said = [
        f"Intervals are 95 % t intervals over {seeds} seed{'s' if seeds > 1 else ''}{_two_looks(rows)}. "
        "A seed draws the labelled "
        "examples, the weights that are not pretrained and the order of the batches, so an interval covers all three. "
        "It does not cover the pretraining, which was done once for all seeds, nor the drawing of the "
        f"{test_examples:,} test examples, which are the same for every run{_one_example(evidence, test_examples)}.",
        "An arm and its twin share, seed by seed, the labelled examples, the batches, the augmentation and the initial "
        "head, except where a declared difference says otherwise, so differences are taken within seeds.",
        "Intervals of effective data come from resampled runs: residuals are pooled over budgets and arms, and what a "
        "seed does to the whole curve of an arm is kept together, because its label budgets share examples.",
    ]
    if floor > 0.05:
        said.append(
            f"With {seeds} seed{'s' if seeds > 1 else ''} the exact sign-flip p cannot be smaller than {floor:.4g}: by "
            "that test no difference here is testable at 0.05, however large. The verdicts rest on the t intervals, "
            "which also assume that differences are roughly normal, so an interval may exclude zero where the exact "
            f"test cannot speak. {seeds_to_reach(0.05)} seeds are the fewest that let it."
        )
    if len(rows) > 1:
        said.append(
            f"There are {len(rows)} verdicts against {evidence.twin.name}, none corrected for the others: each would "
            f"exclude zero by chance one time in twenty if its arms did not differ.{_holm(rows)}"
        )
    return said


def _two_looks(rows: Sequence[PairVerdict]) -> str:
    confidence = rows[0].confidence
    if confidence == CONFIDENCE:
        return ""
    return (
        f"; those of differences are {100 * confidence:.4g} % intervals, so that a second look at undecided cells, "
        "with more seeds, leaves one false difference in twenty"
    )


def _holm(rows: Sequence[PairVerdict]) -> str:
    """Says how many verdicts stay as they are when all arms at a label budget are taken together."""
    decided = [row for row in rows if row.verdict != "undecided" and row.verdict_holm is not None]
    if not decided or all(len([r for r in rows if r.budget == row.budget]) == 1 for row in rows):
        return ""
    stay = sum(row.survives for row in decided)
    return (
        f" Corrected by Holm's method for the arms at the same label budget, {stay} of the {len(decided)} that decide "
        "something stay as they are. The answer goes by the uncorrected ones: each was declared as a comparison of "
        "its own."
    )


def _one_example(evidence: Evidence, test_examples: int) -> str:
    if evidence.metric == ACCURACY:
        return f": one of them more or less is {100 / test_examples:.2f} points"
    if evidence.metric.lower_is_better:
        return f". Less {named(evidence.metric)} is better, so a positive difference is less of it"
    return ""


def parity(comparison: Comparison) -> str:
    """Says in what sense the arms were given the same chance, and what each was declared to do otherwise.

    Args:
      comparison: what was declared.

    Returns:
      A sentence or two.
    """
    declared, tuning = comparison.declared, comparison.declared.get("tuning")
    steps = {arm.name: arm.diff["steps"][1] for arm in comparison.arms if "steps" in arm.diff}
    otherwise = [
        f"{arm.name} with {key} = {value!r} in place of {of_twin!r}"
        for arm in comparison.arms
        for key, (of_twin, value) in sorted(arm.diff.items())
        if key not in ("strategy", "init") and not key.startswith("tuning.space.")
    ]
    who = "Every arm but those declared otherwise" if steps else "Every arm"
    said = f"{who} trains for {declared['steps']} steps of {declared['global_batch_size']} examples, and "
    if tuning:
        said += f"was tuned by as many trials, {tuning['per_arm']}, over ranges of its own"
    else:
        said += "no setting was tuned by trials within this comparison"
    said += f" (declared differences: {'; '.join(otherwise)})" if otherwise else ""
    others = [name for name in declared.get("parities") or () if name != "steps"]
    beside = f"; the section on parities has the others ({', '.join(others)})" if others else ""
    return (
        f"{said}. Equal steps favour what starts near a solution: {comparison.twin} may catch up with more of them "
        f"(He et al. 2019, arXiv:1811.08883){beside}.{_unfinished(comparison)}"
    )


def _unfinished(comparison: Comparison) -> str:
    """Names the arms whose later phases waited for a plateau that did not come: they are not what their name says."""
    said = ""
    for arm in comparison.arms:
        runs = [run.summary for run in comparison.runs if run.key.arm == arm.name]
        short = sum(len(run.get("phases", ())) < run.get("phases_planned", 0) for run in runs)
        if short:
            said += f" In {short} of {len(runs)} runs {arm.name} never came to its last phase: "
            said += "the plateau that it waits for was not reached."
    return said
