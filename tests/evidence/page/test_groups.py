"""The sections on groups and shifted test sets."""

import html
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tlj.evidence.page.groups import group_accuracy, groups_context, shifted_accuracy
from tlj.evidence.page.page import render_page
from tlj.evidence.runs import read_comparison
from tlj.evidence.summary import build_summary

SMALL = {"arms": ("scratch", "full"), "budgets": (10,), "accuracies": {"scratch": (0.6,), "full": (0.8,)}}
WICKED = "<b>north</b>"


def add_groups_and_shift(run, worse):
    """Gives the examples of a run groups, and a shifted set that is its first 60 examples with noise."""
    table = pq.read_table(run / "predictions.parquet").to_pydict()
    rng, count = np.random.default_rng(0), len(table["id"])
    groups = [("tiny", "south", WICKED)[min(i % 40, 2) if i % 40 == 0 else 1 + i % 2] for i in range(count)]
    logits = np.array(table["logits"], np.float32)
    if worse:
        hit = [group == "south" and rng.random() < 0.6 for group in groups]
        logits[hit] = np.roll(logits[hit], 1, axis=1)
    ids = [*table["id"], *(f"shift:fog/{i}" for i in range(60))]
    written = {
        "id": pa.array(ids),
        "label": pa.array([*table["label"], *table["label"][:60]], pa.int32()),
        "logits": pa.array([*logits, *rng.normal(0, 1, (60, 5))], pa.list_(pa.float32())),
        "group": pa.array([*groups, *[None] * 60]),
        "split": pa.array([*table["split"], *["shift:fog"] * 60]),
    }
    pq.write_table(pa.table(written), run / "predictions.parquet")


@pytest.fixture(scope="module")
def told(make_comparison, tmp_path_factory):
    """A comparison with groups, of which one arm treats one worse, and with a shifted set; and its summary."""
    directory = make_comparison(tmp_path_factory.mktemp("groups"), seeds=(0, 1, 2), **SMALL)
    for run in sorted(directory.glob("runs/*/*/*")):
        add_groups_and_shift(run, worse="/full/" in str(run))
    comparison = read_comparison(directory)
    return comparison, build_summary(comparison)


@pytest.fixture(scope="module")
def page(told):
    return render_page(*told, {})


def section(page, name):
    return re.search(rf'<section aria-labelledby="{name}">.*?</section>', page, re.DOTALL)[0]


def test_an_arm_that_treats_a_group_worse_is_said_to_widen_the_gap(told, page):
    (row,) = told[1]["groups"]["differences"]
    assert row["word"] == "widens"
    assert '<td class="hurts"><span class="word">widens</span>' in section(page, "groups")


def test_small_groups_are_told_and_names_are_escaped(page):
    text = section(page, "groups")
    assert "with fewer than 30 examples: tiny (" in text
    assert html.escape(WICKED) in text
    assert WICKED not in text


def test_the_gap_stands_beside_what_chance_makes(told, page):
    cell = told[1]["groups"]["cells"][1]
    text = section(page, "groups")
    assert f"<td>{100 * cell['gap']['null_mean']:.1f}</td>" in text
    assert cell["gap"]["p"] < 0.01
    assert "shuffled over the test set\n(999 times)" in text


def test_a_shifted_set_has_its_drop_and_the_difference_to_the_twin(told, page):
    (row,) = told[1]["shifts"]["differences"]
    text = section(page, "shifts")
    assert row["word"] in text
    assert "Every run was also tested on fog (60 examples)" in text
    # One set alone is not the worst of several, and one budget needs no second table.
    assert "(worst)" not in text
    assert "<details>" not in text


def test_tables_have_captions_and_scopes(page):
    for name in ("groups", "shifts"):
        text = section(page, name)
        assert text.count("<table") == text.count("<caption>") == text.count('class="scroll"')
        assert "<th>" not in text


@pytest.mark.parametrize("width", [7.4, 4.0])
def test_figures_show_every_arm_once_on_every_row(told, width):
    for draw, rows in ((group_accuracy, 2), (shifted_accuracy, 2)):
        axes = draw(told[1], width).axes[0]
        assert len(axes.get_yticks()) == rows
        assert {handle.get_label() for handle in axes.containers} == {"scratch", "full"}
        assert all(len(container[0].get_xdata()) == rows for container in axes.containers)


def test_without_groups_and_sets_there_is_no_section_and_no_figure(told):
    bare = {**told[1], "groups": None, "shifts": None}
    assert groups_context(told[0], bare) == {"groups": None, "shifts": None}
    assert group_accuracy(bare, 7.4) is shifted_accuracy(bare, 7.4) is None
    assert 'id="groups"' not in render_page(told[0], bare, {})


def test_a_loss_is_no_share_and_is_not_drawn_in_percent(told):
    shifts = {**told[1]["shifts"], "metric": "nll"}
    summary = {**told[1], "shifts": shifts}
    assert shifted_accuracy(summary, 7.4) is None
    assert groups_context(told[0], summary)["shifts"]["rows"][0]["value"] == f"{shifts['cells'][0]['mean']:.3g}"
