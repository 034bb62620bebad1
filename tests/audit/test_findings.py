"""What is said, how gravely, and in which order."""

import copy

import pytest

from tests.audit.planted import texts
from tlj.audit.audit import audit_source
from tlj.audit.findings import SEVERITIES, findings_of, verdict_of


@pytest.fixture(scope="module")
def clean():
    made = texts([f"one {i} two" for i in range(40)], [f"other {i} two" for i in range(20)])
    return audit_source(made, made.parts)


@pytest.fixture
def report(clean):
    return copy.deepcopy(clean)


def leak(report, **kinds):
    pair = {"id": "t", "label": "ant", "train_id": "r", "train_label": "ant", "likeness": 1.0}
    pairs = [pair | {"kind": kind} for kind, count in kinds.items() for _ in range(count)]
    report["duplicates"]["of_training"][0] |= {"copies": len(pairs), "kinds": kinds, "pairs": pairs}


def test_nothing_found_is_nothing_said(report):
    assert findings_of(report) == []


@pytest.mark.parametrize(
    ("kinds", "words"),
    [
        ({"identical": 1}, "1 of 20 test texts (5 %) is a copy of a training text (1 identical)"),
        ({"near": 2}, "2 of 20 test texts (10 %) are near duplicates of training texts (2 nearly the same)"),
        ({"near": 1}, "1 of 20 test texts (5 %) is a near duplicate of a training text (1 nearly the same)"),
        ({"identical": 1, "mirrored": 1}, "are copies or near duplicates of training texts (1 identical, 1 mirrored)"),
    ],
)
def test_a_leak_is_called_what_it_is(report, kinds, words):
    leak(report, **kinds)
    assert words in findings_of(report)[0]["says"]
    assert verdict_of(report, findings_of(report)).endswith(": mend this before training.")


def test_a_leak_is_the_verdict_whatever_else_there_is(report):
    leak(report, identical=3)
    report["unreadable"] = {"count": 1, "examples": [{"where": "x", "reason": "the file is empty"}], "left_out": 0}
    verdict = verdict_of(report, findings_of(report))
    assert verdict.startswith("3 of 20 test texts (15 %) are copies of training texts")
    assert verdict.endswith("There is more: 1 serious finding beside it.")


def test_a_leak_with_another_label_says_so(report):
    leak(report, identical=2)
    report["duplicates"]["of_training"][0]["pairs"][0]["train_label"] = "bee"
    assert findings_of(report)[0]["says"].endswith("1 of them has another label there.")


def test_findings_are_in_order_of_severity(report):
    report["texts"] |= {"empty_texts": 1, "empty": ["a"], "truncated": 1, "truncated_share": 0.01, "max_length": 8}
    report["unused"] = 3
    report["duplicates"]["conflicts"]["kinds"] = {"identical": 1, "normalised": 2}
    found = findings_of(report)
    severities = [finding["severity"] for finding in found]
    assert severities == sorted(severities, key=SEVERITIES.index) == ["serious", "warning", "warning", "note", "note"]
    assert "1 texts" not in " ".join(finding["says"] for finding in found)


def test_a_training_split_without_a_class_is_serious(report):
    report["splits"][0]["absent"] = [f"class {i}" for i in range(9)]
    (finding,) = findings_of(report)
    assert finding["severity"] == "serious"
    assert finding["says"].endswith("class 4, class 5 and 3 more.")
    assert "but train has no example" in verdict_of(report, [finding])


def test_a_sure_shortcut_is_serious_and_a_likely_one_is_a_warning(report):
    mark = {"name": "ant", "property": "format", "value": "PNG", "inside": 1.0, "elsewhere": 0.0, "numeric": False}
    report["suspicions"]["classes"] = [mark | {"association": 0.95}, mark | {"association": 0.6}]
    assert [finding["severity"] for finding in findings_of(report)] == ["serious", "warning"]


def test_a_number_that_tells_is_said_with_its_medians(report):
    report["suspicions"]["splits"] = [
        {"name": "test", "property": "words", "value": "larger", "association": 0.7}
        | {"inside": 24.0, "elsewhere": 7.5, "numeric": True}
    ]
    (finding,) = findings_of(report)
    assert "Split test has larger words: median 24, elsewhere 7.5" in finding["says"]


def test_a_few_of_its_own_copies_are_a_note_and_many_a_warning(report):
    for superfluous, severity in ((1, "note"), (9, "warning")):
        report["duplicates"]["within"][0] |= {"superfluous": superfluous, "kinds": {"identical": superfluous}}
        report["duplicates"]["within"][0]["examples"] = 500
        assert findings_of(report)[0]["severity"] == severity
