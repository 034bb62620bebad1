import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlj.config import default, merge
from tlj.config_keys import FREE, GROUP_KEYS, KEYS
from tlj.config_kinds import parse_literal, parse_warmup, spell
from tlj.errors import InputError
from tlj.freezing.optimizer import DIRECTIONS
from tlj.freezing.phases import Group
from tlj.freezing.schedules import SCHEDULES
from tlj.models.attention.kernels import ATTENTION, SOFTMAX


@pytest.mark.parametrize("name", KEYS)
def test_every_default_is_allowed_and_keeps_its_type(name):
    key = KEYS[name]
    assert key.kind.convert(key.default) == key.default
    assert type(key.kind.convert(key.default)) is type(key.default)


@pytest.mark.parametrize("name", KEYS)
def test_every_default_survives_the_command_line(name):
    assert KEYS[name].kind.convert(spell(KEYS[name].default)) == KEYS[name].default


@pytest.mark.parametrize("name", [*KEYS, *FREE])
def test_every_key_says_what_it_means(name):
    assert len(KEYS[name].meaning if name in KEYS else FREE[name]) > 5


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("value", [None, {}, object(), [None]])
def test_no_key_takes_a_value_of_another_type(name, value):
    with pytest.raises((ValueError, TypeError)):
        KEYS[name].kind.convert(value)


@pytest.mark.parametrize("name", ["steps", "margin", "seeds", "label_budget"])
def test_true_is_not_a_number(name):
    with pytest.raises((ValueError, TypeError)):
        KEYS[name].kind.convert((True,) if name == "seeds" else True)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("seeds", "0,1,2", (0, 1, 2)),
        ("model.allow_missing", "head.*, pooler.*", ("head.*", "pooler.*")),
        ("model.allow_missing", "[ch]ls.(weight|bias)", ("[ch]ls.(weight|bias)",)),
        ("model.allow_missing", "a{1,2},(b,c)", ("a{1,2}", "(b,c)")),
        ("model.allow_missing", "('a.*', 'b')", ("a.*", "b")),
        ("seeds", "(0,1,2)", (0, 1, 2)),
        ("seeds", "[0, 1]", (0, 1)),
        ("seeds", "7", (7,)),
        ("arms", "scratch,full@mean_var", ("scratch", "full@mean_var")),
        ("arms", "('scratch','last_blocks:1')", ("scratch", "last_blocks:1")),
        ("arms", "scratch, last_blocks:1,", ("scratch", "last_blocks:1")),
        ("arms", "full", ("full",)),
        ("label_budgets", "10,25,all", (10, 25, "all")),
        ("label_budgets", "(10, 'all')", (10, "all")),
        ("label_budgets", "all", ("all",)),
        ("label_budget", "50", 50),
        ("label_budget", "all", "all"),
        ("optimizer.learning_rate", "1e-3", 1e-3),
        ("optimizer.learning_rate", "1", 1.0),
        ("steps", "1_000", 1000),
        ("optimizer.warmup", "10", "10 steps"),
        ("optimizer.warmup", " 0.5 epoch ", "0.5 epochs"),
        ("optimizer.warmup", "1 epochs", "1 epochs"),
        ("optimizer.warmup", "12345678 examples", "12345678 examples"),
        ("optimizer.warmup", "0.123456789 epochs", "0.123456789 epochs"),
        ("rules", '(("head/.*", "head"), (".*", "frozen"))', (("head/.*", "head"), (".*", "frozen"))),
        ("rules", '[["head/.*", "head"]]', (("head/.*", "head"),)),
        ("rules", "", ()),
        ("lora.targets", "query,value,up", ("query", "value", "up")),
        ("workdir", "", ""),
    ],
)
def test_text_is_read_as_the_command_line_means_it(name, text, value):
    converted = KEYS[name].kind.convert(text)
    assert converted == value
    assert type(converted) is type(value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 0),
        ("steps", 1.0),
        ("steps", "1.5"),
        ("global_batch_size", 0),
        ("evaluate.batch_size", 0),
        ("evaluate.every", -1),
        ("checkpoint.latest", 0),
        ("log.every", 0),
        ("parallel.fsdp", 0),
        ("experiments.workers", 0),
        ("data.test_fraction", 0.0),
        ("data.test_fraction", 1.0),
        ("data.validation_fraction", 1),
        ("margin", -0.001),
        ("margin", 0.0),
        ("optimizer.learning_rate", 0.0),
        ("optimizer.learning_rate", math.nan),
        ("optimizer.learning_rate", "inf"),
        ("optimizer.weight_decay", -0.1),
        ("optimizer.label_smoothing", 1.0),
        ("optimizer.name", "adam"),
        ("optimizer.schedule", ""),
        ("dtype", "float16"),
        ("parallel.mode", "pjit"),
        ("data.on_error", "ignore"),
        ("seeds", ()),
        ("seeds", "()"),
        ("seeds", (0, 0)),
        ("seeds", (-1,)),
        ("seeds", 3),
        ("seeds", "{0, 1}"),
        ("arms", ("full", "full")),
        ("arms", ""),
        ("label_budgets", ("all", "all")),
        ("label_budgets", (10, "some")),
        ("label_budget", 0),
        ("label_budget", "half"),
        ("strategy", " "),
        ("optimizer.warmup", "some"),
        ("optimizer.warmup", "0.5 steps"),
        ("optimizer.warmup", "1.5 examples"),
        ("optimizer.warmup", "-1 steps"),
        ("optimizer.warmup", "1e3 steps"),
        ("optimizer.warmup", True),
        ("optimizer.name", "rmsprop"),
        ("optimizer.schedule", "triangular"),
        ("rules", "ab,cd"),
        ("rules", ("ab", "cd")),
        ("rules", (("head/.*",),)),
        ("rules", (("head/.*", ""),)),
        ("rules", ((1, "head"),)),
        ("plateau.patience", 0),
        ("plateau.min_delta", -0.1),
        ("lora.alpha", 0.0),
        ("lora.targets", ()),
    ],
)
def test_values_out_of_range_are_refused(name, value):
    with pytest.raises((ValueError, TypeError)):
        KEYS[name].kind.convert(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [("64", 64), ("1e-3", 1e-3), ("(3,4)", (3, 4)), ("3,4", (3, 4)), ("gap", "gap"), ("True", True), ("false", False)],
)
def test_free_text_is_a_literal_or_itself(text, value):
    assert parse_literal(text) == value
    assert type(parse_literal(text)) is type(value)


@given(st.text())
def test_free_text_never_fails_and_never_runs(text):
    parse_literal(text)


@given(st.lists(st.integers(min_value=0), min_size=1, unique=True))
def test_any_list_of_seeds_round_trips(seeds):
    assert KEYS["seeds"].kind.convert(spell(seeds)) == tuple(seeds)
    assert KEYS["seeds"].kind.convert(repr(seeds)) == tuple(seeds)


@given(st.lists(st.from_regex(r"[a-z_]+(:[0-9]+)?(@[a-z_]+)?", fullmatch=True), min_size=1, unique=True))
def test_any_list_of_arms_round_trips(arms):
    assert KEYS["arms"].kind.convert(spell(arms)) == tuple(arms)
    assert KEYS["arms"].kind.convert(repr(tuple(arms))) == tuple(arms)


@given(
    st.integers(0, 10**12) | st.floats(0, 1e6).map(lambda x: round(x, 6)),
    st.sampled_from(["steps", "epochs", "examples"]),
)
def test_any_warm_up_round_trips(number, unit):
    if unit != "epochs":
        number = int(number)
    converted = KEYS["optimizer.warmup"].kind.convert(
        f"{number:.6f} {unit}" if isinstance(number, float) else f"{number} {unit}"
    )
    assert parse_warmup(converted) == (number, unit)
    assert KEYS["optimizer.warmup"].kind.convert(converted) == converted


@given(st.lists(st.tuples(st.text(min_size=1), st.text(min_size=1)), max_size=4))
def test_any_rules_round_trip(rules):
    convert = KEYS["rules"].kind.convert
    assert convert(repr(tuple(rules))) == convert([list(rule) for rule in rules]) == tuple(rules)


@pytest.mark.parametrize("name", GROUP_KEYS)
@pytest.mark.parametrize("value", [None, {}, object(), [None], "nonsense"])
def test_no_key_of_a_group_takes_a_value_of_another_type(name, value):
    with pytest.raises((ValueError, TypeError)):
        GROUP_KEYS[name].kind.convert(value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("learning_rate_factor", 0.0), ("learning_rate_factor", -1), ("schedule_steps", 0), ("dropout", 1),
     ("norm_mode", "freeze"), ("decays", "biases")],
)  # fmt: skip
def test_values_of_a_group_out_of_range_are_refused(name, value):
    with pytest.raises((ValueError, TypeError)):
        GROUP_KEYS[name].kind.convert(value)


@pytest.mark.parametrize("value", [3, "3"])
def test_how_many_checkpoints_are_kept_is_told_where_it_is_looked_for(value):
    with pytest.raises(InputError, match="one of all, trainable .checkpoint.latest is how many are kept."):
        merge(default(), {"checkpoint": {"keep": value}})


def test_the_keys_of_a_group_are_the_fields_of_a_group():
    fields = {field.name for field in dataclasses.fields(Group)} - {"name", "learning_rate", "warmup_steps"}
    assert set(GROUP_KEYS) == fields | {"warmup"}


def test_the_names_of_optimizers_and_schedules_are_those_there_are():
    assert set(KEYS["optimizer.name"].kind.names) == set(DIRECTIONS)
    assert set(KEYS["optimizer.schedule"].kind.names) == set(SCHEDULES)


def test_classes_and_columns_may_be_called_by_numbers():
    assert KEYS["data.classes"].kind.convert("0,1") == ("0", "1")
    assert KEYS["data.classes"].kind.convert(["good", 1]) == ("good", "1")
    assert KEYS["data.columns.text"].kind.convert("3") == ("3",)
    with pytest.raises(ValueError, match="1"):
        KEYS["data.classes"].kind.convert([1, "1"])


def test_the_kernels_and_types_of_attention_are_those_there_are():
    assert KEYS["attention.kernel"].kind.names == ATTENTION
    assert KEYS["attention.softmax"].kind.names == SOFTMAX
