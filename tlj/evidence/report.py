"""The report of a comparison: ``summary.json``, the figures and ``report.html``, from the run files alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tlj.evidence.judging.across import across
from tlj.evidence.money.prices import find_prices
from tlj.evidence.page.across import render_across, write_across_figures
from tlj.evidence.page.page import render_page
from tlj.evidence.page.write_figures import write_figures
from tlj.evidence.pairs import check_pairs
from tlj.evidence.runs import read_comparison
from tlj.evidence.summary import build_summary, write_summary, write_text


def write_report(directory: str | Path, prices: str | Path | None = None) -> Path:
    """Writes what a comparison shows, finished or not: a pure function of its run files.

    Args:
      directory: a directory that ``tlj compare`` wrote.
      prices: a file of prices; without one, the ``prices.toml`` of the directory where there is one.

    Returns:
      The path of ``report.html``; beside it lie ``summary.json`` and ``figures/``.

    Raises:
      InputError: the directory is not a comparison, a file in it is damaged, or an arm's run differs from its twin's in
        what was not declared.
    """
    directory = Path(directory)
    comparison = read_comparison(directory)
    check_pairs(comparison)
    summary = build_summary(comparison, find_prices(directory, prices))
    write_summary(directory, summary)
    figures = write_figures(summary, directory)
    return write_text(directory / "report.html", render_page(comparison, summary, figures))


def write_across(directories: Sequence[str | Path], out: str | Path) -> Path:
    """Writes what several comparisons show together: interquartile means over tasks, and how often an arm is better.

    Args:
      directories: of the comparisons, each on a data set of its own.
      out: the directory of ``across.json`` and ``across.html``.

    Returns:
      The path of ``across.html``.

    Raises:
      InputError: one is not a comparison, its pairs are none, or they cannot be put together.
    """
    comparisons, out = [read_comparison(directory) for directory in directories], Path(out)
    for comparison in comparisons:
        check_pairs(comparison)
    result = across(comparisons)
    write_text(out / "across.json", json.dumps(result, indent=1, sort_keys=True, allow_nan=False) + "\n")
    return write_text(out / "across.html", render_across(result, write_across_figures(result, out)))
