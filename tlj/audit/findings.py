"""What an audit found, in sentences, the gravest first; and the verdict, one sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tlj.audit.contents import TEST, TRAIN
from tlj.audit.copies import IDENTICAL, MIRRORED, NEAR, NORMALISED, SAME_PIXELS
from tlj.audit.counts import FEW, UNBALANCED

SERIOUS, WARNING, NOTE = "serious", "warning", "note"
SEVERITIES = (SERIOUS, WARNING, NOTE)
_SAID = {
    IDENTICAL: "identical",
    SAME_PIXELS: "of the same pixels",
    NORMALISED: "the same but for case and punctuation",
    NEAR: "nearly the same",
    MIRRORED: "mirrored",
}
# More of its own copies than this in a split is worth a warning.
_MANY_COPIES = 0.01
_MANY_CUT = 0.05
_NAMED = 6

Report = Mapping[str, Any]


def findings_of(report: Report) -> list[dict[str, str]]:
    """Returns ``{severity, about, says}`` for everything worth saying, the gravest first.

    Args:
      report: of ``tlj.audit.audit``, but for its findings and its verdict.
    """
    found = [
        {"severity": severity, "about": about, "says": says}
        for of in (_leaks, _conflicts, _unreadable, _classes, _suspicions, _own_copies, _images, _texts, _rest)
        for severity, about, says in of(report)
    ]
    return sorted(found, key=lambda finding: SEVERITIES.index(finding["severity"]))


def verdict_of(report: Report, findings: Sequence[Mapping[str, str]]) -> str:
    """Returns the one sentence to be read first.

    Args:
      report: as above.
      findings: of it.
    """
    serious = [finding for finding in findings if finding["severity"] == SERIOUS]
    leak = _between(report, TEST)
    if leak["copies"]:
        others = (
            f" There is more: {_number(len(serious) - 1, 'serious finding')} beside it." if len(serious) > 1 else ""
        )
        return f"{_leak(leak, report['kind'])}: mend this before training.{others}"
    none = f"No test {_one(report)} is a copy of a training {_one(report)}"
    if serious:
        return f"{none}, but {_small(serious[0]['says'])}"
    warnings = sum(finding["severity"] == WARNING for finding in findings)
    return (
        f"{none}; {_number(warnings, 'thing')} to look at." if warnings else f"{none}, and nothing else is suspicious."
    )


def _leaks(report: Report) -> Iterator[tuple[str, str, str]]:
    for between in report["duplicates"]["of_training"]:
        if between["copies"]:
            other = sum(pair["label"] != pair["train_label"] for pair in between["pairs"])
            says = f" {_number(other, 'of them has', 'of them have')} another label there." if other else ""
            severity = SERIOUS if between["split"] == TEST else WARNING
            yield severity, "copies of training", f"{_leak(between, report['kind'])}.{says}"


def _leak(between: Report, kind: str) -> str:
    copies, share = between["copies"], between["copies"] / between["examples"]
    one = "image" if kind == "images" else "text"
    kinds = [f"{count:,} {_SAID[kind]}" for kind, count in between["kinds"].items()]
    near = {NEAR, MIRRORED, NORMALISED} & set(between["kinds"])
    said = ("near duplicate",) if near == set(between["kinds"]) else ("copy", "near duplicate") if near else ("copy",)
    several = {"copy": "copies", "near duplicate": "near duplicates"}
    if copies == 1:
        what = f"is a {said[0]} of a training {one}"
    else:
        what = f"are {' or '.join(several[word] for word in said)} of training {one}s"
    split = f"{between['split']} {one}{'' if between['examples'] == 1 else 's'}"
    return f"{copies:,} of {between['examples']:,} {split} ({_percent(share)}) {what} ({', '.join(kinds)})"


def _conflicts(report: Report) -> Iterator[tuple[str, str, str]]:
    for kind, count in report["duplicates"]["conflicts"]["kinds"].items():
        sure = kind in (IDENTICAL, SAME_PIXELS)
        what = f"{_one(report)}s that are {_SAID[kind]}"
        says = _number(count, f"set of {what} carries", f"sets of {what} carry")
        yield SERIOUS if sure else WARNING, "labels", f"{says} more than one label."


def _unreadable(report: Report) -> Iterator[tuple[str, str, str]]:
    if count := report["unreadable"]["count"]:
        one = _one(report)
        first = report["unreadable"]["examples"][0]
        yield (
            SERIOUS,
            "unreadable",
            f"{_number(count, f'{one} cannot be read', f'{one}s cannot be read')}, "
            f"for example {first['where']}: {first['reason']}.",
        )


def _classes(report: Report) -> Iterator[tuple[str, str, str]]:
    for row in report["splits"]:
        name = row["split"]
        if row["absent"]:
            many = len(row["absent"]) == 1
            severity = SERIOUS if name == TRAIN else WARNING
            yield (
                severity,
                "classes",
                f"{name} has no example of {'class' if many else 'classes'} {_listed(row['absent'])}.",
            )
        if row["few"] and name in (TRAIN, TEST):
            many = f"{_number(len(row['few']), 'class has', 'classes have')} fewer than {FEW} examples in {name}"
            yield WARNING, "classes", f"{many}: {_listed(row['few'])}."
        if name == TRAIN and row["imbalance"] and row["imbalance"] >= UNBALANCED:
            yield (
                WARNING,
                "classes",
                f"The largest class of {name} has {row['imbalance']:.0f} times the examples of the smallest; always "
                f"answering it is right for {_percent(row['majority'])}.",
            )


def _suspicions(report: Report) -> Iterator[tuple[str, str, str]]:
    for row in report["suspicions"]["classes"]:
        severity = SERIOUS if row["association"] >= 0.9 else WARNING
        yield severity, "shortcut", f"{_told(row, 'Class ')}, so a model may learn that instead."
    for row in report["suspicions"]["splits"]:
        yield WARNING, "splits differ", f"{_told(row, 'Split ')}: the test may not measure what was trained."


def _told(row: Mapping[str, Any], prefix: str) -> str:
    if row["numeric"]:
        said = f"has {row['value']} {row['property']}: median {row['inside']:,.4g}, elsewhere {row['elsewhere']:,.4g}"
    else:
        shares = f"{_percent(row['inside'])} of it, {_percent(row['elsewhere'])} elsewhere"
        said = f"is told by {row['property']} {row['value']}: {shares}"
    return f"{prefix}{row['name']} {said}"


def _own_copies(report: Report) -> Iterator[tuple[str, str, str]]:
    for row in report["duplicates"]["within"]:
        if row["superfluous"]:
            share = row["superfluous"] / row["examples"]
            kinds = ", ".join(f"{count:,} {_SAID[kind]}" for kind, count in row["kinds"].items())
            among = f"{row['examples']:,} {_one(report)}s of {row['split']}"
            says = f"{row['superfluous']:,} of {among} ({_percent(share)}) repeat"
            severity = WARNING if share > _MANY_COPIES else NOTE
            yield severity, "copies within a split", f"{says} another of the same split ({kinds})."


def _images(report: Report) -> Iterator[tuple[str, str, str]]:
    facts = report.get("images") or {}
    if facts.get("flat_images"):
        says = _number(facts["flat_images"], "image is of one colour", "images are of one colour")
        yield WARNING, "images", f"{says}, for example {facts['flat'][0]}."
    if facts.get("below_model_size"):
        size = facts["model_size"]
        says = f"{_percent(facts['below_model_size'])} of the images have an edge below the {size} pixels of the model"
        yield NOTE, "images", f"{says} and will be enlarged."
    if odd := facts.get("odd"):
        named = _listed([f"{one['id']} ({one['kind']})" for one in odd])
        yield NOTE, "images", f"Of a format or mode that next to no other image has: {named}."
    for key, what in (("turned_by_exif", "turned by EXIF"), ("animated", "animated: only the first frame is used")):
        if facts.get(key):
            yield NOTE, "images", f"{_number(facts[key], 'image is', 'images are')} {what}."


def _texts(report: Report) -> Iterator[tuple[str, str, str]]:
    facts = report.get("texts") or {}
    if facts.get("empty_texts"):
        says = _number(facts["empty_texts"], "text is empty", "texts are empty")
        yield WARNING, "texts", f"{says}, for example {facts['empty'][0]}."
    if facts.get("truncated"):
        severity = WARNING if facts["truncated_share"] > _MANY_CUT else NOTE
        says = _number(facts["truncated"], "text is longer", "texts are longer")
        share = _percent(facts["truncated_share"])
        yield severity, "texts", f"{says} than {facts['max_length']} tokens and will be cut off ({share} of all)."


def _rest(report: Report) -> Iterator[tuple[str, str, str]]:
    if unused := report["unused"]:
        yield NOTE, "splits", f"{_number(unused, 'example is', 'examples are')} in no split and not audited."


def _between(report: Report, split: str) -> Report:
    rows = [row for row in report["duplicates"]["of_training"] if row["split"] == split]
    return rows[0] if rows else {"copies": 0}


def _one(report: Report) -> str:
    return "image" if report["kind"] == "images" else "text"


def _number(count: int, one: str, several: str = "") -> str:
    return f"{count:,} {one if count == 1 else several or one + 's'}"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _small(sentence: str) -> str:
    return sentence if sentence[:2].isupper() else sentence[:1].lower() + sentence[1:]
