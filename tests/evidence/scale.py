"""Times `tlj report` on a comparison of many runs: `python tests/evidence/scale.py --runs=10000`."""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import sys
import tempfile
import time
import zlib
from pathlib import Path

import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.evidence.conftest import arm_entry, run_path, write_run

ARMS = ("scratch", "linear_probe", "last_blocks:1", "full", "full@mean_var")
LABELS = (10, 14, 20, 28, 40, 56, 80, 113, 160, 226, 320, 453, 538)


def write_grid(directory: Path, runs: int, arms: int = 5, budgets: int = 10) -> int:
    """Writes a finished comparison of at least so many runs, each with 359 test rows and 20 validation rows.

    Args:
      directory: of the comparison.
      runs: how many.
      arms: of the comparison; the first is the twin.
      budgets: of each arm.

    Returns:
      How many runs were written.
    """
    names = [*ARMS, *(f"last_blocks:{place}" for place in range(2, arms))][:arms]
    labels = LABELS[:budgets] if budgets <= len(LABELS) else tuple(10 * (place + 1) for place in range(budgets))
    seeds = range(-(-runs // (arms * len(labels))))
    keys = [(arm, budget, seed) for seed in seeds for budget in labels for arm in names]
    declared = {
        "task": "digits:5-9",
        "metric": "accuracy",
        "margin": 0.005,
        "twin": names[0],
        "arms": [arm_entry(arm) for arm in names],
        "budgets": list(labels),
        "seeds": list(seeds),
        "steps": 200,
        "global_batch_size": 32,
        "runs": [{"arm": a, "budget": b, "seed": s, "path": run_path(a, b, s)} for a, b, s in keys],
    }
    (directory / "comparison.json").write_text(json.dumps(declared))
    for arm, budget, seed in keys:
        skill = zlib.crc32(arm.encode()) % 10 / 100
        spread = 0.02 * np.random.default_rng([seed, budget]).standard_normal()
        write_run(directory, arm, budget, seed, float(np.clip(0.5 + 0.06 * np.log(budget) + skill + spread, 0, 1)))
        write_config(directory / run_path(arm, budget, seed), arm, budget, seed)
    return len(keys)


def write_config(run: Path, arm: str, budget: int, seed: int) -> None:
    """Writes what a run's config and digests say, as large as they are."""
    from tlj import config as configuration

    entry = arm_entry(arm)
    own = {"strategy": entry["strategy"], "init": entry["init"], "label_budget": budget, "seed": seed}
    config = configuration.run_config(configuration.default(), **own)
    (run / "config.json").write_text(json.dumps(config))
    summary = json.loads((run / "summary.json").read_text())
    pair = {"split": f"{budget}-{seed}", "first_batch": f"{budget}-{seed}", "preprocessing": "same"}
    (run / "summary.json").write_text(json.dumps({**summary, "pair": pair}))


def main() -> None:
    """Writes the runs, makes the report, and prints seconds and the peak of memory."""
    from tlj.evidence.page.page import render_page
    from tlj.evidence.page.write_figures import write_figures
    from tlj.evidence.pairs import check_pairs
    from tlj.evidence.runs import read_comparison
    from tlj.evidence.summary import build_summary, write_summary

    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--runs", type=int, default=10_000)
    flags.add_argument("--arms", type=int, default=5)
    flags.add_argument("--budgets", type=int, default=10)
    asked = flags.parse_args()
    directory = Path(tempfile.mkdtemp())
    try:
        written = write_grid(directory, asked.runs, asked.arms, asked.budgets)
        clock, begun = [time.perf_counter()], time.process_time()
        comparison = read_comparison(directory)
        clock.append(time.perf_counter())
        check_pairs(comparison)
        summary = build_summary(comparison)
        clock.append(time.perf_counter())
        write_summary(directory, summary)
        page = render_page(comparison, summary, write_figures(summary, directory))
        clock.append(time.perf_counter())
        read, built, drawn = np.diff(clock)
        spent = time.process_time() - begun
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
        print(
            f"{written} runs: {clock[-1] - clock[0]:.1f} s (read {read:.1f}, summary {built:.1f}, page {drawn:.1f}), "
            f"{spent:.1f} s of one processor, peak {peak:.2f} GiB, page {len(page) / 1e6:.1f} MB"
        )
    finally:
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
