"""The page of a comparison that is judged by something else than accuracy."""

import json

import pytest

from tlj.evidence.page import figures
from tlj.evidence.page.drawing import WIDE, style
from tlj.evidence.page.page import render_page
from tlj.evidence.runs import read_comparison
from tlj.evidence.summary import build_summary


@pytest.fixture(scope="module", params=["nll", "macro_f1"])
def comparison(request, make_comparison, tmp_path_factory):
    place = tmp_path_factory.mktemp("c") / "c"
    directory = make_comparison(place, arms=("scratch", "full"), budgets=(10, 25), seeds=(0, 1, 2))
    declared = json.loads((directory / "comparison.json").read_text()) | {"metric": request.param}
    (directory / "comparison.json").write_text(json.dumps(declared))
    return read_comparison(directory)


def test_cells_are_native_and_differences_so_that_more_is_better(comparison):
    summary, sign = build_summary(comparison), -1 if comparison.declared["metric"] == "nll" else 1
    cells = {(cell["arm"], cell["budget"]): cell for cell in summary["cells"]}
    metrics = {(row["arm"], row["budget"]): row for row in summary["metrics"]}
    for row in summary["verdicts"]:
        gain = cells["full", row["budget"]]["mean"] - cells["scratch", row["budget"]]["mean"]
        assert row["difference"] == pytest.approx(sign * gain)
        assert row["difference"] > 0
        mean = metrics["full", row["budget"]][summary["metric"]]["mean"]
        assert cells["full", row["budget"]]["mean"] == mean


def test_the_page_and_its_figures_name_the_metric_and_its_unit(comparison):
    summary = build_summary(comparison)
    page = render_page(comparison, summary, {})
    name, unit = {"nll": ("NLL", "0.005 nats"), "macro_f1": ("Macro F1", "0.5 points of macro F1")}[summary["metric"]]
    assert f'<h2 id="curve">{name} by number of labels</h2>' in page
    assert f"<dd>{unit}</dd>" in page
    assert "test accuracy" not in page.split('<section aria-labelledby="effective">')[0]
    with style():
        title = figures.label_efficiency(summary, WIDE).axes[0].get_title(loc="left")
        assert title == {"nll": "Test NLL", "macro_f1": "Test macro F1, %"}[summary["metric"]]
        label = figures.paired_difference(summary, WIDE).get_supylabel()
        assert label == {"nll": "NLL below scratch", "macro_f1": "Points above scratch"}[summary["metric"]]
