import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ml_collections import ConfigDict

from tlj.config import ARRANGEMENT, default, diff, digest, flatten, load, merge, run_config, to_dict, validate
from tlj.config_keys import FREE, KEYS
from tlj.errors import InputError

names = st.from_regex(r"[a-z_]{1,6}", fullmatch=True)
leaves = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5)
)
trees = st.recursive(
    st.dictionaries(names, leaves | st.lists(leaves, max_size=3), min_size=1, max_size=4),
    lambda inner: st.dictionaries(names, leaves | inner, min_size=1, max_size=4),
    max_leaves=12,
)


@pytest.fixture
def write_config(tmp_path):
    def write(body):
        path = tmp_path / "config.py"
        path.write_text(
            f"import tlj.config\ndef get_config(arg=None):\n    c = tlj.config.default()\n    {body}\n    return c\n"
        )
        return str(path)

    return write


def refusal(function, *arguments, **named):
    with pytest.raises(InputError) as caught:
        function(*arguments, **named)
    assert "\n" not in str(caught.value)
    return caught.value


def nest(leaves):
    nested = {}
    for name, value in leaves.items():
        *groups, last = name.split(".")
        group = nested
        for part in groups:
            group = group.setdefault(part, {})
        group[last] = value
    return nested


# The default configuration.


def test_the_default_holds_every_key_and_is_valid():
    config = default()
    assert set(flatten(config)) == set(KEYS)
    assert all(config[name] == ConfigDict() for name in FREE)
    validate(config)


def test_the_default_is_locked_and_type_safe():
    config = default()
    with pytest.raises(AttributeError):
        config.stepz = 3
    with pytest.raises(AttributeError):
        config.model.famly = "vit"
    with pytest.raises(TypeError):
        config.steps = "many"


def test_two_defaults_share_nothing():
    changed = default()
    changed.label_budget = 50
    changed.model.settings.width = 64
    assert default().label_budget == "all"
    assert "width" not in default().model.settings


def test_a_label_budget_is_a_number_or_all():
    config = default()
    for budget in (50, "all", 10):
        config.label_budget = budget
        assert config.label_budget == budget
        assert merge(config, {}).label_budget == budget


# Merging.


def test_merge_leaves_both_sides_as_they_were():
    config, overrides = default(), {"steps": 3, "model": {"settings": {"width": 8}}}
    merged = merge(config, overrides)
    assert (merged.steps, merged.model.settings.width) == (3, 8)
    assert to_dict(config) == to_dict(default())
    assert overrides == {"steps": 3, "model": {"settings": {"width": 8}}}


def test_merge_keeps_what_is_not_overridden():
    config = merge(default(), {"optimizer": {"learning_rate": 0.1}, "model": {"settings": {"width": 8, "depth": 2}}})
    merged = merge(config, {"model": {"settings": {"width": 16}}})
    assert merged.optimizer.learning_rate == 0.1
    assert merged.model.settings.to_dict() == {"width": 16, "depth": 2}


def test_merge_gives_a_locked_type_safe_configuration():
    merged = merge(default(), {"label_budget": 50})
    merged.label_budget = "all"
    merged.model.settings.width = 8
    with pytest.raises(AttributeError):
        merged.modle = 3


def test_merge_takes_the_overrides_that_make_the_source_run():
    config = merge(default(), {"pretrain": {"steps": 7, "data": {"source": "digits:0-4"}}})
    source = merge(config, config.pretrain, where="config.pretrain")
    assert (source.steps, source.data.source, source.data.test_fraction) == (7, "digits:0-4", 0.4)


def test_merge_names_where_the_mistake_is():
    error = refusal(merge, default(), {"optimizer": {"learning_rat": 1}}, where="config.declared.full")
    assert error.where == "config.declared.full.optimizer.learning_rat"
    assert error.nearest == "optimizer.learning_rate"


def test_a_configuration_comes_back_from_its_json_file():
    config = merge(
        default(), {"seeds": (3, 1), "model.settings": {"stages": (2, 2), "norm": None}, "pretrain.steps": 5}
    )
    config = merge(config, {"declared": {"full@mean_var": {"optimizer": {"learning_rate": 1e-4}}}})
    again = merge(default(), json.loads(json.dumps(to_dict(config))))
    assert again == config
    assert again.model.settings.stages == (2, 2)
    assert digest(again) == digest(config)


# Loading a file and overrides.


def test_a_file_may_hold_only_what_differs(tmp_path):
    (tmp_path / "a.py").write_text("def get_config():\n    return {'steps': 3, 'model': {'settings': {'width': 8}}}\n")
    config = load(str(tmp_path / "a.py"))
    assert (config.steps, config.model.settings.width, config.dtype) == (3, 8, "float32")


def test_a_mistake_in_a_file_names_the_file_and_the_key(tmp_path):
    (tmp_path / "a.py").write_text("def get_config():\n    return {'optimizer': {'learning_rat': 3}}\n")
    error = refusal(load, str(tmp_path / "a.py"))
    assert str(tmp_path / "a.py") in error.where
    assert error.where.endswith("config.optimizer.learning_rat")


def test_overrides_go_over_the_file_and_later_ones_over_earlier_ones(write_config):
    path = write_config("c.steps = 10; c.seeds = [4, 5]; c.model.settings.width = 8")
    assert load(path).seeds == (4, 5)
    assert load(path, ["steps=20"]).steps == 20
    assert load(path, ["steps=20", "steps=30"]).steps == 30
    assert load(path, ["model.settings.width=16"]).model.settings.width == 16


def test_a_value_may_hold_an_equals_sign(write_config):
    assert load(write_config("pass"), ["workdir=runs/a=b"]).workdir == "runs/a=b"


@pytest.mark.parametrize(
    ("body", "override", "value"),
    [
        ("pass", "model.settings.width=64", 64),
        ("pass", "model.settings.width=1.5", 1.5),
        ("pass", "model.settings.width=gap", "gap"),
        ("pass", "model.settings.width=3,4", (3, 4)),
        ("pass", "model.settings.width=false", False),
        ("c.model.settings.width = '3'", "model.settings.width=4", "4"),
        ("c.model.settings.width = 0.5", "model.settings.width=1", 1.0),
        ("c.model.settings.width = '3'", "steps=1", "3"),
    ],
)
def test_a_free_key_takes_what_its_text_and_its_old_value_say(write_config, body, override, value):
    width = load(write_config(body), [override]).model.settings.width
    assert width == value
    assert type(width) is type(value)


def test_the_preprocessing_of_a_model_may_be_set_key_by_key(write_config):
    config = load(write_config("c.model.preprocessing = dict(resize_to=9)"), ["model.preprocessing.mean=0.1,0.2,0.3"])
    assert config.model.preprocessing.to_dict() == {"resize_to": 9, "mean": (0.1, 0.2, 0.3)}
    assert to_dict(run_config(config))["model"]["preprocessing"]["mean"] == [0.1, 0.2, 0.3]


def test_a_free_key_keeps_its_type(write_config):
    error = refusal(load, write_config("c.model.settings.width = 64"), ["model.settings.width=wide"])
    assert (error.where, error.do) == ("config.model.settings.width", "keep the type")
    refusal(load, write_config("c.model.settings.width = 64"), ["model.settings.width.x=3"])


def test_a_free_value_that_json_cannot_hold_is_refused():
    assert (
        refusal(merge, default(), {"model": {"settings": {"width": object()}}}).where == "config.model.settings.width"
    )


def test_overrides_of_the_source_run_and_of_arms_have_the_types_of_the_keys(write_config):
    path = write_config("c.arms = ('scratch', 'full@mean_var')")
    config = load(path, ["pretrain.label_budget=50", "declared.full@mean_var.optimizer.learning_rate=1"])
    assert config.pretrain.label_budget == 50
    assert config.declared["full@mean_var"].optimizer.learning_rate == 1.0
    assert refusal(load, path, ["pretrain.stepz=3"]).nearest == "steps"
    assert refusal(load, path, ["pretrain.steps=0"]).where == "config.pretrain.steps"
    assert refusal(load, path, ["declared.full@mean_var.dtype=float1"]).nearest is not None
    assert "unknown key" in refusal(load, path, ["pretrain.pretrain.steps=3"]).what


def test_what_is_declared_must_be_for_an_arm(write_config):
    error = refusal(load, write_config("pass"), ["declared.ful.steps=3"])
    assert (error.nearest, error.where) == ("full", "config.declared.ful")


def test_an_override_may_take_an_arm_with_declared_differences_out(write_config):
    path = write_config("c.arms = ('scratch', 'full', 'head'); c.declared = {'head': {'steps': 3}}")
    assert load(path, ["arms=scratch,full"]).arms == ("scratch", "full")


def test_the_twin_must_be_an_arm(write_config):
    error = refusal(load, write_config("pass"), ["arms=full,linear_probe"])
    assert error.where == "config.twin"
    assert "add scratch" in error.do
    load(write_config("pass"), ["arms=full,linear_probe", "twin=linear_probe"])


@pytest.mark.parametrize(
    ("override", "nearest"),
    [
        ("stepz=3", "steps"),
        ("model.famly=vit", "model.family"),
        ("modle.family=vit", "model.family"),
        ("learning_rate=3", "optimizer.learning_rate"),
        ("optimiser=3", "optimizer"),
        ("data.augment.shfit=1", "data.augment.shift"),
        ("steps.x=3", "steps"),
        ("xyzzy=3", None),
        ("optimizer.xyzzy=3", None),
    ],
)
def test_an_unknown_key_names_the_nearest(write_config, override, nearest):
    error = refusal(load, write_config("pass"), [override])
    assert "unknown key" in error.what
    assert error.where == f"config.{override.partition('=')[0]}"
    assert error.nearest == nearest
    assert error.do


@pytest.mark.parametrize(
    "override", ["model=vit", "data.augment=1", "pretrain=1", "model.settings=1", "declared.full=1"]
)
def test_a_group_is_not_a_value(write_config, override):
    assert "a group of keys" in refusal(load, write_config("pass"), [override]).what


@pytest.mark.parametrize("override", ["model.settings.=1", ".steps=1", "=1", "model..family=1"])
def test_a_key_with_an_empty_part_is_unknown(write_config, override):
    assert "unknown key" in refusal(load, write_config("pass"), [override]).what


def test_an_override_without_a_value_says_how_to_write_it(write_config):
    assert refusal(load, write_config("pass"), ["steps"]).do == "write --config.steps=VALUE"


def test_a_wrong_value_says_what_is_expected_and_the_default(write_config):
    error = refusal(load, write_config("pass"), ["steps=many"])
    assert str(error) == "config.steps: 'many' is not a whole number of at least 1; the default is 200"
    assert refusal(load, write_config("pass"), ["optimizer.name=adamx"]).nearest == "adamw"


def test_validate_finds_what_was_set_by_hand():
    config = default()
    config.steps = 0
    assert refusal(validate, config).where == "config.steps"
    config = default()
    config.pretrain.stepz = 3
    assert refusal(validate, config).where == "config.pretrain.stepz"


# Dicts.


def test_to_dict_holds_only_what_json_holds():
    plain = to_dict(merge(default(), {"model": {"settings": {"stages": ((1, 2), (3,))}}}))
    assert plain == json.loads(json.dumps(plain))
    assert plain["seeds"] == [0, 1, 2, 3, 4]
    assert plain["model"]["settings"]["stages"] == [[1, 2], [3]]


def test_flatten_joins_names_with_dots():
    assert flatten({"a": {"b": {"c": 1}, "d": [2]}, "e": {}}) == {"a.b.c": 1, "a.d": [2]}


def test_diff_shows_both_values_and_none_for_an_absent_key():
    assert diff({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}, "d": 4}) == {"a.b": [1, 3], "a.c": [2, None], "d": [None, 4]}


def test_diff_of_configurations_takes_a_list_for_its_tuple():
    changed = merge(default(), {"seeds": [0, 1]})
    assert diff(default(), to_dict(default())) == {}
    assert diff(default(), changed) == {"seeds": [[0, 1, 2, 3, 4], [0, 1]]}


def test_diff_sees_a_key_that_is_none_on_one_side_only():
    assert diff({"a": None}, {}) == {"a": [None, None]}


def test_the_digest_is_stable_over_time():
    assert digest({"b": [1, 2], "a": {"c": 0.5}}) == digest({"a": {"c": 0.5}, "b": (1, 2)}) == "54715e9ef380"


@given(trees)
def test_flatten_loses_nothing(tree):
    assert nest(flatten(tree)) == tree


@given(trees)
def test_nothing_differs_from_itself(tree):
    assert diff(tree, tree) == {}
    assert digest(tree) == digest(dict(reversed(tree.items())))


@given(trees, trees)
def test_diff_is_empty_exactly_where_the_digests_agree(a, b):
    assert (diff(a, b) == {}) == (digest(a) == digest(b))


@given(trees, trees)
def test_diff_the_other_way_swaps_the_values(a, b):
    assert {name: pair[::-1] for name, pair in diff(b, a).items()} == diff(a, b)


@given(st.data())
def test_any_change_of_one_key_is_the_whole_difference(data):
    name = data.draw(st.sampled_from(["steps", "optimizer.weight_decay", "data.source", "label_budget", "seeds"]))
    values = {
        "steps": st.integers(1, 10**6),
        "optimizer.weight_decay": st.floats(0, 1e6),
        "data.source": st.text(min_size=1).filter(str.strip),
        "label_budget": st.just("all") | st.integers(1, 10**6),
        "seeds": st.lists(st.integers(0, 99), min_size=1, unique=True).map(tuple),
    }
    value = data.draw(values[name])
    changed = merge(default(), nest({name: value}))
    before, after = to_dict(default()), to_dict(changed)
    expected = {} if default()[name] == value else {name: [flatten(before)[name], flatten(after)[name]]}
    assert changed[name] == value
    assert diff(default(), changed) == expected


@given(st.dictionaries(names, st.booleans() | st.integers() | st.text(max_size=8), max_size=4))
def test_any_settings_come_back_from_json(settings):
    config = merge(default(), {"model": {"settings": settings}})
    assert config.model.settings.to_dict() == settings
    assert merge(default(), json.loads(json.dumps(to_dict(config)))) == config


def test_a_run_configuration_is_the_comparisons_less_its_arrangement():
    config = default()
    run = run_config(config, seed=7, strategy="linear_probe")
    assert not set(run) & set(ARRANGEMENT)
    assert (run["seed"], run["strategy"], run["steps"]) == (7, "linear_probe", config.steps)
    assert set(run) | set(ARRANGEMENT) == set(to_dict(config))


# Settings of single groups.


def test_groups_take_any_name_and_keep_their_types():
    config = merge(default(), {"groups.depth3.dropout": "false", "groups": {"head": {"warmup": "1 epoch"}}})
    assert to_dict(config)["groups"] == {"depth3": {"dropout": False}, "head": {"warmup": "1 epochs"}}
    assert merge(default(), json.loads(json.dumps(to_dict(config)))) == config


@pytest.mark.parametrize(
    ("name", "value", "what", "nearest"),
    [
        ("groups.head.learning_rat", 1, "a group has no 'learning_rat'", "learning_rate_factor"),
        ("groups.head.norm_mode", "freeze", "'freeze' is not one of frozen, adapt, train", "frozen"),
        ("groups.head.learning_rate_factor", 0.0, "0.0 is not a number above 0", None),
        ("groups.head.optimizer", "lambda", "'lambda' is not one of adamw, sgd, lamb, lion", "lamb"),
        ("groups.head", 3, "a group of keys, not a value", None),
        ("optimizer.warmup", "ten steps",
         "'ten steps' is not a length such as '10 steps', '0.5 epochs' or '2000 examples'", None),
        ("rules", "head", "'head' is not a list of (pattern, group) pairs, such as"
         ' (("head/.*", "head"), (".*", "frozen"))', None),
    ],
)  # fmt: skip
def test_a_wrong_setting_of_a_group_or_rule_is_one_clear_line(name, value, what, nearest):
    error = refusal(merge, default(), {name: value})
    assert (error.what, error.where, error.nearest) == (what, f"config.{name}", nearest)
    assert error.do


def test_rules_come_back_from_the_json_file():
    config = merge(default(), {"rules": (("head/.*", "head"), (".*", "frozen"))})
    again = merge(default(), json.loads(json.dumps(to_dict(config))))
    assert again.rules == (("head/.*", "head"), (".*", "frozen"))
    assert digest(again) == digest(config)


def test_a_declared_difference_may_be_one_of_a_group():
    config = merge(default(), {"declared": {"full": {"groups": {"head": {"learning_rate_factor": 2}}}}})
    assert merge(config, config.declared.full).groups.head.learning_rate_factor == 2.0
