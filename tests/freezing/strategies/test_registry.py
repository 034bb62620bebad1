"""Strategies by name: what a string stands for, what it starts from, and what is refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlj.errors import InputError
from tlj.freezing.phases import FROZEN, Plateau
from tlj.freezing.settings import Timing
from tlj.freezing.strategies import control_name, parse_strategy, resolve_init
from tlj.freezing.strategies.registry import ADDITIONS, NAMES
from tlj.models.lora import Adapters
from tlj.training.setup import model_layout


@pytest.mark.parametrize(
    ("text", "takes", "example"),
    [
        ("last_blocks", "a whole number", "last_blocks:1"),
        ("last_blocks:", "a whole number", "last_blocks:1"),
        ("last_blocks:1:2", "a whole number", "last_blocks:1"),
        ("last_blocks:-1", "a whole number", "last_blocks:1"),
        ("last_blocks:one", "a whole number", "last_blocks:1"),
        ("lora", "a whole number", "lora:8"),
        ("full:1", "nothing", "full"),
        ("scratch:3", "nothing", "scratch"),
        ("linear_probe:2", "nothing", "linear_probe"),
        ("rules:head", "nothing", "rules"),
        ("blocks:1", "two blocks, i-j", "blocks:0-2"),
        ("blocks:1-", "two blocks, i-j", "blocks:0-2"),
        ("gradual", "a number of steps or 'plateau'", "gradual:100"),
        ("gradual:0", "a number of steps or 'plateau'", "gradual:100"),
        ("gradual:plateaus", "a number of steps or 'plateau'", "gradual:100"),
        ("lp_ft:-5", "perhaps a number of steps or 'plateau'", "lp_ft:100"),
        ("freeze_out:1", "perhaps a number between 0 and 1, then perhaps 'scaled' or 'unscaled'", "freeze_out:0.8"),
        ("freeze_out:0.5:half", "perhaps a number between 0 and 1, then perhaps 'scaled' or 'unscaled'",
         "freeze_out:0.8"),
    ],
)  # fmt: skip
def test_arguments_that_a_strategy_does_not_take_are_refused_with_an_example(refusal, text, takes, example):
    error = refusal(parse_strategy, text)
    assert error.what == f"{text!r}: {text.partition(':')[0]} takes {takes}"
    assert (error.where, error.do) == ("config.strategy", f"write {example!r}")
    parse_strategy(example)


def test_an_unknown_strategy_is_refused_with_the_nearest(refusal):
    error = refusal(parse_strategy, "linear_prob", where="config.arms[1]")
    assert (error.what, error.where) == ("unknown strategy 'linear_prob'", "config.arms[1]")
    assert (error.nearest, error.do) == ("linear_probe", f"use one of {', '.join(sorted(NAMES))}")


def test_an_unknown_addition_is_refused_with_the_nearest(refusal):
    error = refusal(parse_strategy, "full+l2sp")
    assert (error.what, error.where, error.nearest) == ("unknown addition 'l2sp'", "config.strategy", "l2_sp")
    assert error.do == f"use one of {', '.join(sorted(ADDITIONS))}"


@pytest.mark.parametrize(
    ("text", "kind"),
    [("full+l2_sp+l2_sp:0.2", "l2_sp"), ("discriminative+discriminative:0.5", "discriminative"),
     ("full+discriminative+discriminative", "discriminative")],
)  # fmt: skip
def test_an_addition_twice_is_refused(refusal, text, kind):
    error = refusal(parse_strategy, text)
    assert (error.what, error.do) == (f"{text!r} adds {kind} twice", "add it once")


def test_a_wrong_argument_of_an_addition_is_refused(refusal):
    assert refusal(parse_strategy, "full+discriminative:2").what.startswith("'discriminative:2': discriminative takes")
    assert refusal(parse_strategy, "full+l2_sp:x").what == "'l2_sp:x' does not give alpha and beta"


def test_a_strategy_says_what_the_model_and_the_loss_need_of_it():
    assert (parse_strategy("lora:8").rank, parse_strategy("last_blocks:8").rank) == (8, None)
    assert (parse_strategy("copy_freeze:3").copied, parse_strategy("copy_train:2").copied) == (3, 2)
    assert parse_strategy("first_blocks:3").copied is None
    assert parse_strategy("full").l2_sp is None
    assert parse_strategy("full+l2_sp").l2_sp == (0.1, 0.01)
    assert parse_strategy("last_blocks:1+discriminative:beit+l2_sp:0.5:0.2").l2_sp == (0.5, 0.2)
    assert parse_strategy("gradual:5+l2_sp").text == "gradual:5+l2_sp"


@pytest.mark.parametrize("name", NAMES)
def test_every_strategy_but_scratch_starts_from_pretrained(name):
    example = {"last_blocks": ":1", "first_blocks": ":1", "blocks": ":0-0", "copy_freeze": ":1", "copy_train": ":1",
               "gradual": ":5", "lora": ":2"}  # fmt: skip
    strategy = parse_strategy(name + example.get(name, ""))
    assert resolve_init(strategy, "") == ("scratch" if name == "scratch" else "pretrained")


def test_an_init_that_is_named_wins():
    assert resolve_init(parse_strategy("full"), "mean_var") == "mean_var"
    assert resolve_init(parse_strategy("linear_probe"), "scratch") == "scratch"


def test_an_init_that_does_not_exist_is_refused_with_the_nearest(refusal):
    error = refusal(resolve_init, parse_strategy("full"), "meanvar")
    assert (error.what, error.where, error.nearest) == ("unknown init 'meanvar'", "config.init", "mean_var")


@pytest.mark.parametrize(
    ("text", "init", "do"),
    [
        ("scratch", "pretrained", "use init scratch, or the strategy 'full'"),
        ("scratch", "mean_var", "use init scratch, or the strategy 'full'"),
        ("copy_train:1", "scratch", "use init pretrained or mean_var, or the strategy 'full'"),
        ("full+l2_sp", "scratch", "use init pretrained or mean_var, or the strategy 'full'"),
    ],
)
def test_an_init_that_contradicts_the_strategy_is_refused(refusal, text, init, do):
    error = refusal(resolve_init, parse_strategy(text), init, where="config.arms[0]")
    assert error.what == f"strategy {text!r} cannot start from init {init!r}"
    assert (error.where, error.do) == ("config.arms[0]", do)


def test_a_pull_towards_a_random_start_is_refused(refusal):
    error = refusal(parse_strategy, "scratch+l2_sp:0.1")
    assert (error.what, error.do) == ("'scratch+l2_sp:0.1' pulls towards a random start", "leave l2_sp out")


def test_scratch_and_full_have_one_phase_so_that_they_share_a_compiled_step(layout):
    digests = {
        parse_strategy(text).phases(layout, Timing(9))[0].digest for text in ("full", "scratch", "last_blocks:2")
    }
    assert len(digests) == 2


@pytest.mark.parametrize(
    ("text", "init", "expected"),
    [
        ("full", "pretrained", ""),
        ("scratch", "scratch", ""),
        ("full", "scratch", ""),
        ("full", "mean_var", "scale without features"),
        ("linear_probe", "mean_var", "scale without features"),
        ("linear_probe", "scratch", "random features"),
        ("last_blocks:1", "scratch", "random features"),
        ("linear_probe", "pretrained", ""),
        # What is frozen at first but trains later is no random feature at the end.
        ("gradual:10", "scratch", ""),
        ("freeze_out", "scratch", ""),
    ],
)
def test_controls_are_told_from_ways_to_transfer(layout, text, init, expected):
    phases = parse_strategy(text).phases(layout, Timing(steps=100))
    assert control_name(phases, init) == expected


BLOCKS = {"vit": 3, "resnet": 2, "bert": 4}


@st.composite
def strategies(draw):
    """A valid strategy for a tiny model of some family, with the steps of its run."""
    family = draw(st.sampled_from(sorted(BLOCKS)))
    blocks, steps = BLOCKS[family], draw(st.integers(20, 400))
    count = st.integers(1, blocks)
    # Every depth joins before the end of the run.
    when = st.just("plateau") | st.integers(1, (steps - 1) // (blocks + 1))
    first, share = draw(st.integers(0, blocks - 1)), draw(st.floats(0.05, 0.99))
    names = ["full", "scratch", "linear_probe", "bias_only", "norm_only", "lp_ft", "discriminative", "freeze_out",
             *(f"{name}:{draw(count)}" for name in ("last_blocks", "first_blocks", "copy_freeze", "copy_train")),
             f"blocks:{first}-{draw(st.integers(first, blocks - 1))}", f"lp_ft:{draw(when)}", f"gradual:{draw(when)}",
             f"freeze_out:{share}", f"freeze_out:{share}:unscaled", "discriminative:electra",
             *(["lora:1", "lora:3"] if family != "resnet" else [])]  # fmt: skip
    text = draw(st.sampled_from(names))
    if draw(st.booleans()) and not text.startswith("discriminative"):
        text += draw(st.sampled_from(["+discriminative", "+discriminative:beit", "+discriminative:0.9"]))
    if draw(st.booleans()) and not text.startswith("scratch"):
        text += draw(st.sampled_from(["+l2_sp", "+l2_sp:0.3:0"]))
    return family, text, steps


@settings(max_examples=150, deadline=None, derandomize=True)
@given(strategies())
def test_any_valid_strategy_labels_every_leaf_once_in_phases_that_follow_each_other(specs, settle, case):
    family, text, steps = case
    strategy = parse_strategy(text)
    layout = model_layout(specs[family], Adapters(strategy.rank) if strategy.rank else None)
    assert layout.blocks == BLOCKS[family]
    phases = strategy.phases(layout, Timing(steps, Plateau(patience=1)))
    starts = [phase.start for phase in phases if not isinstance(phase.start, Plateau)]
    assert starts[0] == phases[0].start == 0
    assert starts == sorted(set(starts))
    assert starts[-1] < steps
    before = {}
    for phase in phases:
        assert [path for path, _ in phase.labels] == sorted(layout.depths)
        members = {g.name: {path for path, label in phase.labels if label == g.name} for g in phase.groups}
        assert set(phase.label_of.values()) - {FROZEN} == members.keys()
        assert sum(map(len, members.values())) == len(phase.trained) > 0
        assert all(paths <= before[name] for name, paths in members.items() if name in before)
        assert all(group.learning_rate_factor > 0 for group in phase.groups)
        before = members
    complete = settle(phases, layout)
    assert settle(complete, layout) == complete
    assert [phase.labels for phase in complete] == [phase.labels for phase in phases]


def test_an_arm_is_no_strategy_and_the_error_says_where_its_init_goes():
    with pytest.raises(InputError, match="'full@mean_var' is an arm.*did you mean 'full'.*set config.init to mean_var"):
        parse_strategy("full@mean_var")
