"""The answer in one sentence: transfer or scratch, how much to train, with how many labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tlj.evidence.judging.verdict import HELPS, Verdicts
from tlj.evidence.runs import Arm, Comparison
from tlj.evidence.scores.judged import Metric, metric_of, oriented
from tlj.evidence.words.metric_words import quoted
from tlj.evidence.words.wording import described, listed, where

TRANSFER, SCRATCH, EQUAL, UNDECIDED, UNKNOWN = "transfer", "scratch", "equal", "undecided", "unknown"


@dataclass(frozen=True)
class Stretch:
    """Neighbouring label budgets with the same decision.

    Args:
      decision: ``transfer``, ``scratch``, ``equal``, ``undecided``, or ``unknown`` where nothing has been run.
      budgets: the label budgets, smallest first.
      arm: the transferred arm to choose (``transfer``) or to quote (``scratch``, ``equal``).
    """

    decision: str
    budgets: tuple[int, ...]
    arm: Arm | None


@dataclass(frozen=True)
class Evidence:
    """All that the words are made from: the arms, the budgets and the verdicts.

    Args:
      arms: the arms in the declared order.
      twin: the arm that the others are paired with.
      budgets: the label budgets, smallest first.
      verdicts: every ordered pair of arms at every budget.
      means: mean of the judged metric by (arm, budget), so that more is better.
      margin: the margin of the verdicts, in the unit of the metric.
      unfinished: how many of the declared runs are missing, and how many were declared.
      metric: what the comparison is judged by.
    """

    arms: tuple[Arm, ...]
    twin: Arm
    budgets: tuple[int, ...]
    verdicts: Verdicts
    means: Mapping[tuple[str, int], float]
    margin: float
    unfinished: tuple[int, int]
    metric: Metric = Metric()

    @property
    def transferred(self) -> list[Arm]:
        """The arms that start from pretrained parameters."""
        return [arm for arm in self.arms if arm.role == "transfer"]

    def total(self, arm: Arm, budgets: Sequence[int]) -> float:
        """The means of an arm summed over budgets, more is better; a budget without runs counts as the worst mean."""
        worst = min((0.0, *self.means.values()))
        return sum(self.means.get((arm.name, budget), worst) for budget in budgets)

    def against_twin(self, arm: Arm, budget: int) -> str | None:
        """The verdict on an arm against the twin, or None where it has not been run."""
        row = self.verdicts.get((arm.name, self.twin.name, budget))
        return row.verdict if row else None

    def gain(self, arm: Arm, budget: int) -> str:
        """The difference to the twin with its interval, in words; marked where it is under the margin."""
        row = self.verdicts[arm.name, self.twin.name, budget]
        return quoted(row.difference.estimate, self.metric) + (
            ", under the margin," if row.verdict == "helps-small" else ""
        )


def evidence_of(comparison: Comparison, verdicts: Verdicts) -> Evidence:
    """Gathers what the words are made from.

    Args:
      comparison: the runs.
      verdicts: every ordered pair of its arms at every budget.

    Returns:
      The evidence.
    """
    means = {}
    for arm in comparison.arms:
        for budget in comparison.budgets:
            if cell := oriented(comparison, arm.name, budget):
                means[arm.name, budget] = sum(cell.values()) / len(cell)
    return Evidence(
        arms=comparison.arms,
        twin=next(arm for arm in comparison.arms if arm.name == comparison.twin),
        budgets=comparison.budgets,
        verdicts=verdicts,
        means=means,
        margin=float(comparison.declared["margin"]),
        unfinished=(len(comparison.missing), len(comparison.missing) + len(comparison.runs)),
        metric=metric_of(comparison),
    )


def answer(evidence: Evidence) -> str:
    """Answers the question in one sentence, and says undecided where that is the truth.

    Args:
      evidence: the arms, the budgets and the verdicts.

    Returns:
      The sentence.
    """
    stretches = stretches_of(evidence)
    decisions = {stretch.decision for stretch in stretches}
    missing, declared = evidence.unfinished
    if decisions == {UNKNOWN}:
        return (
            f"Undecided: no transferred arm and its twin have both finished a run yet ({missing} of {declared} to go)."
        )
    if decisions <= {UNDECIDED, UNKNOWN}:
        return _so_far(evidence, _nothing_decided(evidence))
    no_gain = "Transfer gains nothing here" if decisions == {EQUAL} else "No gain from transfer is shown"
    lead = {TRANSFER: "Transfer", SCRATCH: "Train from scratch", EQUAL: no_gain}
    title = next(lead[kind] for kind in (TRANSFER, SCRATCH, EQUAL) if kind in decisions)
    clauses = [
        clause
        for kind in (TRANSFER, SCRATCH, EQUAL, UNDECIDED, UNKNOWN)
        for clause in _clauses(kind, [s for s in stretches if s.decision == kind], evidence)
    ]
    clauses += _scale_clauses(evidence, [s for s in stretches if s.decision == TRANSFER])
    return _so_far(evidence, f"{title}: {'; '.join(clauses)}.")


def stretches_of(evidence: Evidence) -> list[Stretch]:
    """Decides every label budget and joins neighbours with the same decision.

    A transferred arm is a candidate at a budget where it helps and no other arm that helps is shown to be better.
    Neighbouring budgets stay together as long as one arm is a candidate at all of them; of these the one with the
    highest mean is named.

    Args:
      evidence: the arms, the budgets and the verdicts.

    Returns:
      The stretches, smallest budget first.
    """
    stretches: list[tuple[str, list[int], list[Arm]]] = []
    for budget in evidence.budgets:
        decision, arms = _decide(evidence, budget)
        if stretches and stretches[-1][0] == decision:
            _, joined, before = stretches[-1]
            shared = [arm for arm in before if arm in arms]
            if shared or decision != TRANSFER:
                stretches[-1] = (decision, [*joined, budget], shared or before)
                continue
        stretches.append((decision, [budget], arms))
    return [Stretch(kind, tuple(budgets), _best(evidence, arms, budgets)) for kind, budgets, arms in stretches]


def _decide(evidence: Evidence, budget: int) -> tuple[str, list[Arm]]:
    judged = {arm.name: evidence.against_twin(arm, budget) for arm in evidence.transferred}
    known = [arm for arm in evidence.transferred if judged[arm.name] is not None]
    helping = [arm for arm in known if judged[arm.name] in HELPS]
    if helping:
        unbeaten = [arm for arm in helping if not any(_beats(evidence, other, arm, budget) for other in helping)]
        return TRANSFER, unbeaten or helping
    verdicts = {judged[arm.name] for arm in known}
    if not verdicts:
        return UNKNOWN, []
    if verdicts == {"hurts"}:
        return SCRATCH, known
    if verdicts <= {"hurts", "equivalent"}:
        return EQUAL, [arm for arm in known if judged[arm.name] == "equivalent"]
    return UNDECIDED, known


def _beats(evidence: Evidence, arm: Arm, other: Arm, budget: int) -> bool:
    row = evidence.verdicts.get((arm.name, other.name, budget))
    return row is not None and row.verdict in HELPS


def _best(evidence: Evidence, arms: Sequence[Arm], budgets: Sequence[int]) -> Arm | None:
    return max(arms, key=lambda arm: evidence.total(arm, budgets), default=None)


def _clauses(kind: str, stretches: Sequence[Stretch], evidence: Evidence) -> list[str]:
    if not stretches:
        return []
    places = listed(where(stretch.budgets, evidence.budgets) for stretch in stretches)
    if kind == UNDECIDED:
        return [f"{places} the data do not decide"]
    if kind == UNKNOWN:
        return [f"{places} nothing has been compared yet"]
    if kind == TRANSFER:
        arms = {stretch.arm.name: stretch.arm for stretch in stretches}.values()
        return [_transfer_clause(arm, [s for s in stretches if s.arm == arm], evidence) for arm in arms]
    return [_clause(stretch, evidence) for stretch in stretches]


def _transfer_clause(arm: Arm, stretches: Sequence[Stretch], evidence: Evidence) -> str:
    """Where an arm wins, and by how much at the smallest and the largest of these budgets, or at the only one."""
    places = listed(where(stretch.budgets, evidence.budgets) for stretch in stretches)
    budgets = [budget for stretch in stretches for budget in stretch.budgets]
    if len(budgets) == 1:
        gain = evidence.gain(arm, budgets[0]).removesuffix(",")
        return f"{described(arm)} beats training from scratch {places}, by {gain}"
    gains = listed(f"{evidence.gain(arm, b)} at {b:,}" for b in dict.fromkeys((budgets[0], budgets[-1])))
    return f"{described(arm)} beats training from scratch {places}, by {gains}"


def _clause(stretch: Stretch, evidence: Evidence) -> str:
    place, budgets = where(stretch.budgets, evidence.budgets), stretch.budgets
    gain = f"{stretch.arm.name} is at {evidence.gain(stretch.arm, budgets[-1])} at {budgets[-1]:,}"
    if stretch.decision == SCRATCH:
        run = all(evidence.against_twin(arm, budget) for arm in evidence.transferred for budget in budgets)
        return f"{place} every transferred arm {'' if run else 'that was run there '}ends below it ({gain})"
    return f"{place} no transferred arm gains, and the best of them stays within the margin of scratch ({gain})"


def _scale_clauses(evidence: Evidence, stretches: Sequence[Stretch]) -> list[str]:
    """Says where a gain may be the scale of the pretrained weights alone: where the control is never shown worse."""
    clauses = []
    for arm in {stretch.arm.name: stretch.arm for stretch in stretches}.values():
        control = next((c for c in evidence.arms if c.init == "mean_var" and c.strategy == arm.strategy), None)
        budgets = [b for stretch in stretches if stretch.arm == arm for b in stretch.budgets]
        compared = [b for b in budgets if control and (arm.name, control.name, b) in evidence.verdicts]
        if compared and not any(_beats(evidence, arm, control, b) for b in compared):
            clauses.append(
                f"but weights redrawn at the same scale ({control.name}) are not shown to be worse there, so the "
                "features are not shown to help"
            )
    return clauses


def _so_far(evidence: Evidence, text: str) -> str:
    missing, declared = evidence.unfinished
    if not missing:
        return text
    return f"So far, with {declared - missing} of {declared} runs, {text[0].lower()}{text[1:]}"


def _nothing_decided(evidence: Evidence) -> str:
    seeds = max((len(row.seeds) for row in evidence.verdicts.values()), default=0)
    if seeds == 1:
        return "Undecided: one seed gives no interval, so nothing can be told; run more."
    known = [b for b in evidence.budgets if any(evidence.against_twin(arm, b) for arm in evidence.transferred)]
    place = where(known, evidence.budgets) if len(known) == len(evidence.budgets) else "at the budgets run so far"
    return f"Undecided: {place} {seeds} seeds do not show whether transfer or training from scratch is better."
