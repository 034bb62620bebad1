"""A strategy of the user's own: an ordered list of (pattern, group) rules, first match wins."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tlj.errors import InputError
from tlj.freezing.phases import FROZEN, Group, Layout, Phase, make_phase

WHERE = "config.rules"


def by_rules(layout: Layout, rules: Sequence[tuple[str, str]]) -> tuple[Phase, ...]:
    """One phase in which each parameter has the group of the first rule whose pattern matches its whole path.

    Args:
      layout: of the model.
      rules: (regular expression, group name or ``"frozen"``), in order.

    Raises:
      InputError: listing every pattern that is none or matches nothing, every rule whose matches earlier rules have
        all taken, and every parameter that no rule matches.
    """
    if not rules:
        example = '(("head/.*", "head"), (".*", "frozen"))'
        raise InputError("strategy 'rules' without rules", where=WHERE, do=f"write {example}")
    problems, patterns = [], []
    for pattern, group in rules:
        try:
            patterns.append((re.compile(pattern), group))
        except re.error as error:
            problems.append(f"{pattern!r} is no regular expression ({error})")
        if not re.fullmatch(r"\w+", group):
            problems.append(f"{group!r} is no name for a group")
    if problems:
        raise InputError(
            "; ".join(problems), where=WHERE, do="mend it; a group's name has letters, digits and underscores"
        )
    labels: dict[str, str] = {}
    takers: dict[str, str] = {}
    for pattern, group in patterns:
        matched = [path for path in sorted(layout.depths) if pattern.fullmatch(path)]
        if not matched:
            problems.append(_dead(pattern, layout))
        elif all(path in labels for path in matched):
            earlier = ", ".join(f"{path} (by {takers[path]!r})" for path in matched)
            problems.append(f"{pattern.pattern!r} matches only what earlier rules have matched: {earlier}")
        for path in matched:
            labels.setdefault(path, group)
            takers.setdefault(path, pattern.pattern)
    unmatched = sorted(set(layout.depths) - set(labels))
    if unmatched:
        problems.append(f"no rule matches {', '.join(unmatched)}")
    if problems:
        raise InputError(
            "; ".join(problems), where=WHERE, do=f"give every parameter a group or {FROZEN!r}; first match wins"
        )
    names = dict.fromkeys(group for _, group in rules if group != FROZEN)
    return (make_phase(labels, [Group(name) for name in names], layout),)


def _dead(pattern: re.Pattern[str], layout: Layout) -> str:
    """Says that a pattern matches no whole path, and whether it matches a part of one."""
    part = next((path for path in sorted(layout.depths) if pattern.search(path)), None)
    hint = f" (only a part of {part}; a pattern must match the whole path)" if part else ""
    return f"{pattern.pattern!r} matches no parameter{hint}"
