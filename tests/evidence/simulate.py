"""How often the intervals and verdicts of a comparison are right, on simulated sweeps whose truth is known.

    python tests/evidence/simulate.py --simulations=2000

prints a Markdown table. The twin's loss is a power law of ten label budgets, an arm is worth ``D + k D^alpha`` labels
at six of them, a second arm crosses the twin; losses vary by 2 % from seed to seed. ``independent``: every run by
itself. ``seed``: half of the variance is the seed's at every budget, one half of that in both arms alike. ``nested``:
neighbouring budgets share labelled examples, so runs of a seed vary together the more the closer their budgets are.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator

import numpy as np

from tlj.evidence.judging.adaptive import SeedsRule, needs_more, seeds_rule
from tlj.evidence.judging.statistics import paired_difference
from tlj.evidence.judging.verdict import HELPS, PairVerdict, corrected, verdict
from tlj.evidence.labels.area import areas
from tlj.evidence.labels.crossover import crossover
from tlj.evidence.labels.effective_data import invert
from tlj.evidence.labels.law import fit_laws
from tlj.evidence.labels.resampling import Losses

BUDGETS = tuple(int(10 * 2**i) for i in range(10))
ARM_BUDGETS = BUDGETS[:6]
K, ALPHA = 60.0, 0.18
NOISE = 0.02
CROSSING = 200.0
MARGIN = 0.005
RESAMPLES = 400
KINDS = ("independent", "seed", "nested")


def twin_loss(labels: float, floor: float = 0.0) -> float:
    """The twin's true loss: a power law, down to a floor."""
    return 0.9 * (labels / BUDGETS[0]) ** -0.4 + floor


def crossing_loss(labels: float) -> float:
    """The true loss of an arm that starts below the twin, falls more slowly and meets it at ``CROSSING`` labels."""
    return twin_loss(CROSSING) * (labels / CROSSING) ** -0.3


def noise(kind: str, seeds: int, rng: np.random.Generator) -> np.ndarray:
    """Returns standard normal noise, ``[arm, seed, budget]``, of three arms that vary together as ``kind`` says."""
    own = rng.normal(size=(3, seeds, len(BUDGETS)))
    if kind == "independent":
        return own
    shared = rng.normal(size=(1, seeds, len(BUDGETS)))
    if kind == "seed":
        effects = np.sqrt(0.25) * (shared[..., :1] + rng.normal(size=(3, seeds, 1)))
        return effects + np.sqrt(0.5) * own
    places = np.arange(len(BUDGETS))
    mix = np.linalg.cholesky(0.7 ** np.abs(places[:, None] - places)).T
    return np.sqrt(0.5) * ((shared @ mix) + (own @ mix))


def sweep(kind: str, seeds: int, rng: np.random.Generator, floor: float = 0.0) -> dict[str, Losses]:
    """Returns the losses of one simulated comparison: a twin, an arm worth more labels, an arm that crosses."""
    spread = np.exp(NOISE * noise(kind, seeds, rng))
    truth = {
        "scratch": [twin_loss(b, floor) for b in BUDGETS],
        "full": [twin_loss(b + K * b**ALPHA, floor) for b in ARM_BUDGETS],
        "crosses": [crossing_loss(b) for b in BUDGETS],
    }
    return {
        arm: {
            b: dict(enumerate(loss * spread[i, :, j])) for j, (b, loss) in enumerate(zip(BUDGETS, line, strict=False))
        }
        for i, (arm, line) in enumerate(truth.items())
    }


def coverage_of_a_sweep(kind: str, seeds: int, rng: np.random.Generator, floor: float = 0.0) -> dict[str, list[bool]]:
    """Simulates one comparison and says of every interval whether the truth lies in it."""
    losses = sweep(kind, seeds, rng, floor)
    pair = {arm: losses[arm] for arm in ("scratch", "full")}
    inversion = invert("scratch", pair, "nll", RESAMPLES)
    told = {"effective data": [_holds(row, row.budget + K * row.budget**ALPHA) for row in inversion.rows]}
    (law,) = fit_laws(inversion)
    told["alpha"] = [] if law.alpha_interval is None else [law.alpha_interval[0] <= ALPHA <= law.alpha_interval[1]]
    if floor:
        return told

    values = {arm: {b: {s: 1 - v for s, v in runs.items()} for b, runs in line.items()} for arm, line in losses.items()}
    mean_noise = math.exp(NOISE**2 / 2)
    truth = {b: mean_noise * (twin_loss(b) - crossing_loss(b)) for b in BUDGETS}
    paired = [paired_difference(_line(values["crosses"][b]), _line(values["scratch"][b])).estimate for b in BUDGETS]
    told["paired difference"] = [e.low <= truth[b] <= e.high for b, e in zip(BUDGETS, paired, strict=True)]

    ends = crossover("crosses", losses["crosses"], losses["scratch"]).interval
    told["crossover"] = [ends is not None and ends[0] <= CROSSING <= ends[1]]

    rows = {row.arm: row for row in areas({arm: values[arm] for arm in ("scratch", "crosses")}, "scratch")}
    area = _area([1 - mean_noise * twin_loss(b) for b in BUDGETS])
    told["AULC"] = [rows["scratch"].estimate.low <= area <= rows["scratch"].estimate.high]
    gain, estimate = _area(list(truth.values())), rows["crosses"].difference.estimate
    told["AULC difference"] = [estimate.low <= gain <= estimate.high]
    return told


def _holds(row, truth: float) -> bool:
    (low, high), (low_end, high_end) = row.interval, row.interval_censored
    return (low <= truth or low_end == "below") and (truth <= high or high_end == "above")


def _line(by_seed: dict[int, float]) -> np.ndarray:
    return np.array(list(by_seed.values()))


def _area(heights: list[float]) -> float:
    places = np.log(BUDGETS)
    return float(np.trapezoid(heights, places) / (places[-1] - places[0]))


def cell(rule: SeedsRule, truth: float, rng: np.random.Generator):
    """Runs one cell as the rule says: differences with a deviation of one around the truth. Returns the last look."""
    draws = truth + rng.normal(size=rule.most)
    difference = paired_difference(draws[: rule.first], np.zeros(rule.first), rule.confidence)
    if needs_more(difference, rule):
        difference = paired_difference(draws, np.zeros(rule.most), rule.confidence)
    return difference


def false_helps(rule: SeedsRule, simulations: int, seed: int = 0) -> float:
    """Returns how often a cell without a difference is judged to help, by however little."""
    rng = np.random.default_rng(seed)
    said = [verdict(cell(rule, 0.0, rng).estimate, MARGIN) for _ in range(simulations)]
    return float(np.mean([word in HELPS for word in said]))


def adaptive_coverage(rule: SeedsRule, truth: float, simulations: int, seed: int = 0) -> float:
    """Returns how often the interval of the last look covers the truth, which is in deviations."""
    rng = np.random.default_rng(seed)
    looks = (cell(rule, truth, rng).estimate for _ in range(simulations))
    return float(np.mean([look.low <= truth <= look.high for look in looks]))


def false_families(seeds: int, arms: int, simulations: int, seed: int = 0) -> tuple[float, float]:
    """Returns how often any of several arms without a difference is told from the twin, plainly and after Holm."""
    rng = np.random.default_rng(seed)
    plain, holm = [], []
    for _ in range(simulations):
        runs = rng.normal(size=(arms + 1, seeds))
        rows = []
        for arm in range(1, arms + 1):
            difference = paired_difference(runs[arm], runs[0])
            judged = verdict(difference.estimate, MARGIN)
            rows.append(PairVerdict(str(arm), "0", 10, tuple(range(seeds)), difference, judged, MARGIN))
        rows = corrected(rows)
        plain.append(any(row.verdict != "undecided" for row in rows))
        holm.append(any(row.verdict_holm != "undecided" for row in rows))
    return float(np.mean(plain)), float(np.mean(holm))


def coverages(kind: str, seeds: int, simulations: int, floor: float = 0.0, seed: int = 0) -> dict[str, list[float]]:
    """Returns, per quantity, how often its intervals cover: over all budgets, and at the worst of them."""
    rng = np.random.default_rng([seed, seeds, KINDS.index(kind)])
    told = [coverage_of_a_sweep(kind, seeds, rng, floor) for _ in range(simulations)]
    found = {}
    for name in told[0]:
        rows = np.array([row[name] for row in told if row[name]])
        found[name] = [float(rows.mean()), float(rows.mean(axis=0).min())]
    return found


def table(simulations: int) -> Iterator[str]:
    """Yields the lines of the table."""
    yield f"| {simulations} simulations | seeds | noise | coverage of 95 % | at the worst budget |"
    yield "|---|---|---|---|---|"
    for seeds in (3, 5):
        for kind in KINDS:
            for name, (mean, worst) in coverages(kind, seeds, simulations).items():
                yield f"| {name} | {seeds} | {kind} | {mean:.3f} | {worst:.3f} |"
        for name, (mean, worst) in coverages("independent", seeds, simulations, floor=0.02).items():
            yield f"| {name}, twin with a floor | {seeds} | independent | {mean:.3f} | {worst:.3f} |"
    rule = seeds_rule(5, 10)
    for truth in (0.0, 0.5, 1.0, 2.0):
        covered = adaptive_coverage(rule, truth, 5 * simulations)
        yield f"| difference of {truth:g} deviations, adaptive | 5 to 10 | | {covered:.3f} | |"
    yield ""
    yield "| seeds, no true difference | false helps | any false verdict of 4 arms | after Holm |"
    yield "|---|---|---|---|"
    rules: list[tuple[str, SeedsRule]] = [(str(n), seeds_rule(n, n)) for n in (3, 5)] + [("5 to 10", rule)]
    naive = ("5 to 10, each look at 0.95", SeedsRule(5, 10, 0.95))
    for name, each in [*rules, naive]:
        helps = false_helps(each, 5 * simulations)
        fixed = each.first == each.most
        families = [f"{share:.3f}" for share in false_families(each.first, 4, simulations)] if fixed else ["", ""]
        yield f"| {name} | {helps:.3f} | {' | '.join(families)} |"


def main(argv: list[str] | None = None, say: Callable[[str], None] = print) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulations", type=int, default=2000)
    for line in table(parser.parse_args(argv).simulations):
        say(line)


if __name__ == "__main__":
    main()
