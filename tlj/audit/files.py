"""What an audit leaves behind: ``audit.json`` and ``audit.html``."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from tlj.audit.page import render_page
from tlj.audit.pictures import Pictures, examples_by_class
from tlj.data.sources import Source

_CLASSES, _EACH = 20, 6


def write_audit(report: Mapping[str, Any], directory: pathlib.Path, source: Source) -> pathlib.Path:
    """Writes a report as JSON and as a page with examples of the data in it.

    Args:
      report: of ``tlj.audit.audit``.
      directory: made where it is missing; earlier files of an audit in it are replaced.
      source: the data, for what the page shows of it.

    Returns:
      The path of ``audit.html``.
    """
    directory.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    # A name in the data may hold half of a surrogate pair, which UTF-8 has no bytes for.
    (directory / "audit.json").write_text(text, encoding="utf-8", errors="backslashreplace")
    chosen = examples_by_class(source.labels, source.ids, range(len(source.labels)), _CLASSES, _EACH)
    examples = {source.classes[label]: ids for label, ids in chosen.items()}
    page = directory / "audit.html"
    page.write_text(render_page(report, Pictures(source), examples), encoding="utf-8", errors="backslashreplace")
    return page
