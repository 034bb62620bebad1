"""How templates become pages: escaped, strict about what is missing, from one folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import jinja2

TEMPLATES = Path(__file__).parent / "templates"


def page_template(name: str, filters: Mapping[str, Callable]) -> jinja2.Template:
    """Returns a template that escapes every name that came from a user.

    Args:
      name: of its file.
      filters: what it may call, by name.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters
    return environment.get_template(name)
