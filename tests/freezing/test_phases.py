"""Phases label every parameter once and follow each other."""

import dataclasses

import pytest

from tlj.errors import InputError
from tlj.freezing.phases import FROZEN, Group, Layout, Plateau, check_phases, make_phase

LAYOUT = Layout(
    {
        "backbone/embedding/kernel": 0,
        "backbone/block0/kernel": 1,
        "backbone/block0/norm/scale": 1,
        "backbone/block0/norm/bias": 1,
        "backbone/block0/bias": 1,
        "head/kernel": 2,
        "head/bias": 2,
    },
    blocks=1,
)
LABELS = {path: "head" if depth == 2 else "backbone" if depth else FROZEN for path, depth in LAYOUT.depths.items()}
GROUPS = (Group("backbone"), Group("head"))
PHASE = make_phase(LABELS, GROUPS, LAYOUT)
PROBE = make_phase({path: "head" if d == 2 else FROZEN for path, d in LAYOUT.depths.items()}, [Group("head")], LAYOUT)


def started(phase, start):
    return dataclasses.replace(phase, start=start)


def test_a_phase_knows_the_label_of_every_path_and_what_trains():
    assert PHASE.label_of == LABELS
    assert PHASE.trained == tuple(sorted(path for path, depth in LAYOUT.depths.items() if depth))
    assert PHASE.group("head") is GROUPS[1]
    assert LAYOUT.head == 2


def test_the_norms_of_a_layout_are_every_scale_and_the_bias_beside_it():
    assert LAYOUT.norms == {"backbone/block0/norm/scale", "backbone/block0/norm/bias"}


def test_the_norms_of_real_models_hold_no_bias_of_another_layer(layouts):
    for family, layout in layouts.items():
        modules = {path.rpartition("/")[0].rpartition("/")[2] for path in layout.norms}
        assert modules
        assert all("norm" in module for module in modules), family
        assert {path for path in layout.depths if path.endswith("scale")} < layout.norms


def test_everything_that_is_wrong_with_a_label_table_is_listed_at_once():
    labels = {
        "backbone/block0/kernel": "tail",
        "head/kernel": "head",
        "backbone/block7/kernel": FROZEN,
        "backbone/block8/kernel": "head",
    }
    groups = (Group("head", norm_mode="sometimes"), Group("backbone"), Group("backbone"), Group(FROZEN))
    with pytest.raises(InputError) as caught:
        make_phase(labels, groups, LAYOUT)
    assert caught.value.where == "phase"
    for problem in (
        "no label for backbone/embedding/kernel",
        "no label for head/bias",
        "backbone/block7/kernel is no parameter",
        "backbone/block8/kernel is no parameter",
        "backbone/block0/kernel has the unknown label 'tail'",
        "group 'backbone' has no parameters",
        "group 'head' has the unknown norm mode 'sometimes'",
        "a group is named 'frozen'",
        "two groups share a name",
    ):
        assert problem in caught.value.what


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan")])
def test_a_learning_rate_factor_that_trains_nothing_is_refused(refusal, factor):
    error = refusal(make_phase, LABELS, (Group("backbone", learning_rate_factor=factor), Group("head")), LAYOUT)
    assert error.what == f"group 'backbone' has the learning-rate factor {factor}; label it 'frozen' instead"
    assert error.do == "label every parameter once, as a group or frozen"


def test_digest_follows_labels_and_groups_and_not_the_order_they_were_given_in():
    assert make_phase(dict(reversed(LABELS.items())), GROUPS, LAYOUT).digest == PHASE.digest
    others = [
        make_phase({**LABELS, "backbone/embedding/kernel": "backbone"}, GROUPS, LAYOUT),
        make_phase(LABELS, (Group("backbone", dropout=False), Group("head")), LAYOUT),
        make_phase(LABELS, (Group("backbone", norm_mode="frozen"), Group("head")), LAYOUT),
        make_phase(LABELS, (Group("backbone", learning_rate=0.1), Group("head")), LAYOUT),
        dataclasses.replace(PHASE, adapting=("backbone/block0/norm",)),
    ]
    assert len({PHASE.digest, *(other.digest for other in others)}) == 6
    # When a phase starts is no part of what a checkpoint of it holds.
    assert started(PHASE, 7).digest == PHASE.digest


NUMBERS = ("learning_rate_factor", "learning_rate", "weight_decay", "schedule_steps", "warmup_steps")
COMPILED = {"decays": "all", "optimizer": "sgd", "schedule": "linear", "norm_mode": "frozen", "dropout": False}


def test_every_field_of_a_group_is_either_a_number_or_compiled_into_the_step():
    assert {field.name for field in dataclasses.fields(Group)} == {"name", *NUMBERS, *COMPILED}
    for name in NUMBERS:
        other = make_phase(LABELS, (dataclasses.replace(GROUPS[0], **{name: 3}), GROUPS[1]), LAYOUT)
        assert other.structure == PHASE.structure, name
    for name, value in COMPILED.items():
        other = make_phase(LABELS, (dataclasses.replace(GROUPS[0], **{name: value}), GROUPS[1]), LAYOUT)
        assert other.structure != PHASE.structure, name
    assert started(PHASE, 7).structure == PHASE.structure
    assert dataclasses.replace(PHASE, adapting=("backbone/block0/norm",)).structure != PHASE.structure


def test_a_phase_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        PHASE.start = 5


def test_phases_that_start_one_after_the_other_are_left_as_they_are():
    for start in (1, 9, Plateau()):
        assert check_phases((PROBE, started(PHASE, start)), 10) == (PROBE, started(PHASE, start))


@pytest.mark.parametrize(
    ("phases", "what"),
    [
        ((started(PROBE, 1),), "phases start at [1]"),
        ((started(PROBE, Plateau()), PHASE), "phases start at [0]"),
        ((PROBE, PHASE), "phases start at [0, 0]"),
        ((PROBE, started(PHASE, 5), started(PROBE, 4)), "phases start at [0, 5, 4]"),
        ((PROBE, started(PHASE, 10)), "the last phase would start at step 10, but the run has 10 steps"),
        ((PROBE, started(PROBE, 4)), "phase 1 is the phase before it"),
        ((make_phase(dict.fromkeys(LABELS, FROZEN), (), LAYOUT),), "phase 0 trains nothing"),
    ],
)
def test_phases_that_do_not_follow_each_other_are_refused(refusal, phases, what):
    error = refusal(check_phases, phases, 10, where="config.rules")
    assert (error.what, error.where) == (what, "config.rules")
    assert error.do


def test_a_group_that_grows_is_refused_and_names_what_it_took_in(refusal):
    grown = make_phase({**LABELS, "backbone/embedding/kernel": "backbone"}, GROUPS, LAYOUT, start=4)
    error = refusal(check_phases, (PHASE, grown), 10)
    assert error.what == "group 'backbone' takes in new parameters in phase 1: backbone/embedding/kernel"
    assert error.do == "give what is newly trained a group of its own"
    # One that shrinks keeps the moments of what is left.
    assert check_phases((started(grown, 0), started(PHASE, 4)), 10)


def test_one_phase_may_train_the_same_at_another_rate():
    slower = make_phase(LABELS, (Group("backbone", learning_rate_factor=0.1), Group("head")), LAYOUT, start=3)
    assert len(check_phases((PHASE, slower), 10)) == 2


def test_a_plateau_says_what_it_waits_for():
    assert str(Plateau(patience=4)) == "a plateau (4 validations without a lower loss)"
