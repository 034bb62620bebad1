"""Rules of the user's own: first match wins, every parameter once, and every mistake is told."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlj.errors import InputError
from tlj.freezing.phases import FROZEN
from tlj.freezing.settings import Timing
from tlj.freezing.strategies import parse_strategy
from tlj.freezing.strategies.rules import by_rules

DO = "give every parameter a group or 'frozen'; first match wins"


def test_the_first_rule_that_matches_the_whole_path_wins(layout):
    rules = ((r"head/.*", "head"), (r".*/norm/.*", "norms"), (r".*/block[12]/.*", "tail"), (r".*", FROZEN))
    (phase,) = by_rules(layout, rules)
    assert phase.label_of == {
        path: "head" if path.startswith("head") else "norms" if "/norm/" in path
        else "tail" if "block1" in path or "block2" in path else FROZEN
        for path in layout.depths
    }  # fmt: skip
    assert [group.name for group in phase.groups] == ["head", "norms", "tail"]


def test_two_rules_may_name_one_group(layout):
    (phase,) = by_rules(layout, ((".*kernel", "a"), (".*bias", FROZEN), (".*scale", "a")))
    assert [group.name for group in phase.groups] == ["a"]
    assert set(phase.trained) == {path for path in layout.depths if path.endswith(("kernel", "scale"))}


def test_the_strategy_reads_the_configs_rules(layout):
    rules = (("head/.*", "head"), (".*", FROZEN))
    assert parse_strategy("rules").phases(layout, Timing(steps=5), rules) == by_rules(layout, rules)


def test_rules_may_come_as_the_lists_of_a_json_file(layout):
    assert by_rules(layout, [["head/.*", "head"], [".*", FROZEN]]) == by_rules(
        layout, (("head/.*", "head"), (".*", FROZEN))
    )


def what(refusal, layout, *rules):
    error = refusal(by_rules, layout, rules)
    assert (error.where, error.do) == ("config.rules", DO)
    return error.what


def test_a_pattern_that_matches_nothing_is_refused(refusal, layout):
    assert what(refusal, layout, ("tail/.*", "tail"), (".*", "all")) == "'tail/.*' matches no parameter"


def test_a_pattern_that_is_only_a_part_of_a_path_is_refused_and_told_so(refusal, layout):
    assert what(refusal, layout, ("head", "head"), (".*", FROZEN)) == (
        "'head' matches no parameter (only a part of head/bias; a pattern must match the whole path)"
    )


def test_every_parameter_that_no_rule_matches_is_listed(refusal, layout):
    assert what(refusal, layout, (".*/kernel", "a"), (".*scale", FROZEN)) == (
        "no rule matches "
        "backbone/block0/bias, backbone/block1/bias, backbone/block2/bias, backbone/norm/bias, head/bias"
    )


def test_a_rule_whose_matches_are_all_taken_is_refused_with_who_took_them(refusal, layout):
    assert what(refusal, layout, (".*/bias", FROZEN), (".*", "all"), ("head/.*", "head")) == (
        "'head/.*' matches only what earlier rules have matched: head/bias (by '.*/bias'), head/kernel (by '.*')"
    )


def test_all_that_is_wrong_is_told_at_once(refusal, layout):
    told = what(refusal, layout, ("head/kernel", "head"), ("head/k.*", "head"), ("nothing", FROZEN))
    assert told.split("; ") == [
        "'head/k.*' matches only what earlier rules have matched: head/kernel (by 'head/kernel')",
        "'nothing' matches no parameter",
        "no rule matches " + ", ".join(sorted(set(layout.depths) - {"head/kernel"})),
    ]


def test_every_pattern_that_is_no_regular_expression_is_refused(refusal, layout):
    error = refusal(by_rules, layout, (("head/(", "head"), ("[", "a"), (".*", FROZEN)))
    assert error.what.startswith("'head/(' is no regular expression (missing ), ")
    assert "; '[' is no regular expression (" in error.what
    assert error.where == "config.rules"
    assert error.do == "mend it; a group's name has letters, digits and underscores"


def test_the_strategy_without_rules_is_refused_with_an_example(refusal, layout):
    error = refusal(parse_strategy("rules").phases, layout, Timing(steps=5))
    assert (error.what, error.where) == ("strategy 'rules' without rules", "config.rules")
    assert error.do == 'write (("head/.*", "head"), (".*", "frozen"))'


def test_rules_that_freeze_everything_are_refused(refusal, layout):
    error = refusal(parse_strategy("rules").phases, layout, Timing(steps=5), ((".*", FROZEN),))
    assert (error.what, error.do) == ("phase 0 trains nothing", "label something with a group")


PATTERNS = st.sampled_from(
    [".*", "head/.*", "backbone/.*", r"backbone/block\d+/.*", "backbone/block0/.*", "backbone/embedding/.*", ".*kernel",
     ".*bias", "(?!head).*", "head/kernel", "head", "nothing", "(", "backbone/block[0-1].*", ""]
)  # fmt: skip
RULES = st.lists(st.tuples(PATTERNS, st.sampled_from([FROZEN, "a", "b", "head"])), max_size=6)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.sampled_from(["vit", "resnet", "bert"]), RULES, st.booleans())
def test_any_rules_label_every_leaf_of_a_real_model_once_or_are_refused(layouts, family, rules, completed):
    layout = layouts[family]
    rules = [*rules, (".*", FROZEN)] if completed else rules
    expected, valid = {}, bool(rules)
    for pattern, group in rules:
        matched = [p for p in layout.depths if pattern != "(" and re.fullmatch(pattern, p)]
        valid &= any(path not in expected for path in matched)
        for path in matched:
            expected.setdefault(path, group)
    valid &= set(expected) == set(layout.depths)
    if not valid:
        with pytest.raises(InputError):
            by_rules(layout, rules)
        return
    (phase,) = by_rules(layout, rules)
    assert phase.label_of == expected
    assert [path for path, _ in phase.labels] == sorted(layout.depths)
    assert {group.name for group in phase.groups} == set(expected.values()) - {FROZEN}


@pytest.mark.parametrize("family", ["vit", "resnet", "bert"])
def test_rules_that_say_what_a_strategy_says_give_its_phase(layouts, family):
    layout = layouts[family]
    (theirs,) = parse_strategy("full").phases(layout, Timing(steps=5))
    (ours,) = by_rules(layout, (("backbone/.*", "backbone"), ("head/.*", "head")))
    assert ours == theirs
