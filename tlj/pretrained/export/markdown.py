"""Text that comes from outside, shown in Markdown as what it is: no markup, no HTML, no link, on one line."""

from __future__ import annotations

import re
import unicodedata

# Control, format (which can reverse the direction of text), surrogate and unassigned characters, and line breaks.
_UNSEEN = ("Cc", "Cf", "Cs", "Cn", "Zl", "Zp")


def code(text: object) -> str:
    """Returns a text as a code span of Markdown, in which nothing has a meaning; long ones are cut.

    Example:
      >>> code("<b>cat</b>")
      '`<b>cat</b>`'
    """
    seen = "".join(" " if unicodedata.category(mark) in _UNSEEN else mark for mark in str(text)).strip()
    seen = seen if len(seen) <= 120 else f"{seen[:117]}..."
    if not seen:
        return "(no name)"
    # A span ends at as many backticks as it begins with.
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", seen)), default=0))
    space = " " if seen.startswith("`") or seen.endswith("`") else ""
    return f"{fence}{space}{seen}{space}{fence}"


def place(text: str) -> str:
    """Returns a path as it may be shown to others: whole where it is relative or a hub id, else its last part alone.

    What lies in the hub's cache is shown as the id that it was fetched by, with its revision.
    """
    parts = [part for part in re.split(r"[/\\]", text) if part]
    for index, part in enumerate(parts):
        if part.startswith("models--") and parts[index + 1 : index + 2] == ["snapshots"]:
            revision = "".join(f"@{name}" for name in parts[index + 2 : index + 3])
            return part.removeprefix("models--").replace("--", "/", 1) + revision
    is_relative = not re.match(r"[/\\~]|[A-Za-z]:", text) and ".." not in parts
    return "/".join(parts) if is_relative else parts[-1] if parts else ""
