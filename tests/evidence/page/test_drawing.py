"""How figures look and how they are saved."""

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from tlj.evidence.page.drawing import (
    INK,
    MARKERS,
    SERIES,
    dodge,
    inline_svg,
    label_axis,
    line_styles,
    save_figure,
    shorten_texts,
    style,
)


def arms(*roles: str) -> list[dict[str, str]]:
    return [{"arm": f"arm{i}", "role": role} for i, role in enumerate(roles)]


def titled(title: str) -> Figure:
    figure = Figure(figsize=(3, 2))
    axes = figure.add_subplot()
    axes.plot([1, 2], [1, 2], color=SERIES[0])
    axes.set_title(title)
    return figure


def test_arms_differ_in_colour_and_marker():
    looks = line_styles(arms("twin", "transfer", "transfer", "transfer", "control"))
    assert len({look["color"] for look in looks.values()}) == 5
    assert len({look["marker"] for look in looks.values()}) == 5


def test_the_twin_is_ink_and_controls_are_dashed():
    looks = line_styles(arms("transfer", "twin", "control"))
    assert looks["arm1"]["color"] == INK
    assert looks["arm0"]["linestyle"] == looks["arm1"]["linestyle"] == "-"
    assert looks["arm2"]["linestyle"] != "-"


def test_more_arms_than_colours_still_differ():
    looks = line_styles(arms("twin", *["transfer"] * 12))
    assert len({(look["color"], look["marker"]) for look in looks.values()}) == 13


def test_no_marker_can_be_taken_for_a_censored_one():
    assert not {"^", "v"} & set(MARKERS)


def test_dodged_arms_stay_apart_and_next_to_their_budget():
    budgets = (10, 25, 538)
    places = np.array([dodge(budgets, i, 5) for i in range(5)])
    assert (np.diff(places, axis=0) > 0).all()
    assert (np.diff(places.mean(axis=0)) > 0).all()
    assert (np.abs(np.log(places / np.array(budgets))) < 0.5 * np.log(2.5)).all()
    assert places[2] == pytest.approx(budgets)


def test_one_arm_or_one_budget_needs_no_room():
    assert dodge((10, 25), 0, 1) == pytest.approx([10, 25])
    assert dodge((10,), 0, 2)[0] == pytest.approx(10, rel=0.2)


def test_the_first_and_last_budget_are_always_named():
    for count in (1, 2, 6, 20):
        axes = Figure().add_subplot()
        label_axis(axes, [10 * 2**i for i in range(count)], most=4)
        names = axes.xaxis.get_major_formatter().seq
        assert names[0]
        assert names[-1]
        assert sum(bool(name) for name in names) == min(count, 4)


def test_style_leaves_matplotlib_as_it_was():
    before = dict(matplotlib.rcParams)
    with style():
        assert matplotlib.rcParams["svg.fonttype"] == "none"
    assert dict(matplotlib.rcParams) == before


def test_saved_figures_are_the_same_bytes_each_time(tmp_path):
    written = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        with style():
            paths = save_figure(titled("t"), tmp_path / name / "figure")
        written.append([path.read_bytes() for path in paths])
    assert [path.suffix for path in paths] == [".png", ".pdf"]
    assert written[0] == written[1]


def test_inline_svg_takes_its_colours_from_the_page():
    with style():
        svg = inline_svg(titled("t"), "name")
    assert svg.startswith("<svg viewBox=")
    assert "var(--series-0)" in svg
    assert "var(--ink)" in svg
    assert SERIES[0] not in svg
    assert "http" not in svg


def test_names_are_escaped_in_svg_and_never_read_as_mathematics():
    with style():
        svg = inline_svg(titled("<script>$\\frac$ --> & _x_"), "name")
    assert "<script" not in svg
    assert "&lt;script&gt;$\\frac$" in svg


def test_ids_of_two_figures_do_not_meet():
    with style():
        one, two = inline_svg(titled("t"), "one"), inline_svg(titled("t"), "two")

    def ids(svg: str) -> set[str]:
        return {part.split('"')[0] for part in svg.split(' id="')[1:]}

    assert ids(one)
    assert not ids(one) & ids(two)


def test_a_long_name_leaves_the_axes_their_room():
    figure = titled("short\n" + "long" * 50)
    figure.axes[0].set_yticks([1, 2], ["a", "long" * 50])
    shorten_texts(figure, 10)
    inline_svg(figure, "f")
    assert figure.axes[0].get_title() == "short\nlonglongl\N{HORIZONTAL ELLIPSIS}"
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["a", "longlongl\N{HORIZONTAL ELLIPSIS}"]
