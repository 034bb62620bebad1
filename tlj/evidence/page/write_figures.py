"""Every figure of the page: saved beside it, and returned to stand in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tlj.evidence.page.drawing import NARROW, WIDE, inline_svg, save_figure, style
from tlj.evidence.page.sections import SECTIONS


def write_figures(summary: Mapping[str, Any], directory: Path) -> dict[str, dict[str, str]]:
    """Draws every figure that has data, saves it as PNG and PDF, and returns it for the page.

    Args:
      summary: ``summary.json``.
      directory: where ``figures/`` is made.

    Returns:
      ``{name: {"wide": svg, "narrow": svg}}``.
    """
    folder, pages = Path(directory) / "figures", {}
    with style():
        for name, draw in (item for section in SECTIONS for item in section.figures.items()):
            wide = draw(summary, WIDE)
            if wide is None:
                continue
            folder.mkdir(exist_ok=True)
            save_figure(wide, folder / name)
            narrow = draw(summary, NARROW)
            pages[name] = {"wide": inline_svg(wide, f"{name}-wide"), "narrow": inline_svg(narrow, f"{name}-narrow")}
    return pages
