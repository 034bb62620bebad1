import json
import math
import os
import pathlib
import subprocess
import sys
import textwrap

import jax
import pytest
from ml_collections import ConfigDict

from tlj import config as configuration
from tlj.benchmark import plan as plans
from tlj.benchmark.plan import format_plan, plan, weightless
from tlj.errors import InputError
from tlj.freezing.strategies.registry import NAMES
from tlj.training.programs import count_compilations

ROOT = pathlib.Path(__file__).parent.parent.parent
MODELS = {
    "vit": ("digits:5-9", dict(patch_size=4, width=16, depth=2, heads=2)),
    "resnet": ("digits:5-9", dict(stem="cifar", stem_width=4, block="basic", stage_depths=(1, 1), stage_widths=(4, 8))),
    "bert": ("synthetic_text:8x3", dict(width=16, depth=2, heads=2)),
}
# Every strategy, with arguments that fit models of two blocks and runs of 24 steps.
STRATEGIES = (
    "full", "scratch", "linear_probe", "last_blocks:1", "first_blocks:1", "blocks:0-1", "copy_freeze:1", "copy_train:1",
    "lp_ft:10", "gradual:5", "discriminative:0.5", "freeze_out:0.5", "bias_only", "norm_only", "lora:2", "rules",
)  # fmt: skip


@pytest.fixture(scope="module")
def counted_once():
    """Counts the step that trains everything once per model, not once per plan."""
    count = plans.lowered_flops
    known = {}

    def counted(setup, phase):
        if setup.config["strategy"] != "scratch":
            return count(setup, phase)
        key = (setup.spec, phase.structure)
        if key not in known:
            known[key] = count(setup, phase)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plans, "lowered_flops", counted)
        yield


@pytest.fixture(scope="module")
def plan_of(tiny_config, counted_once):
    def make(strategy, family="vit", **changes):
        source, settings = MODELS[family]
        rules = (("head/.*", "head"), (".*", "frozen")) if strategy == "rules" else ()
        config = tiny_config("w", strategy=strategy, rules=rules, evaluate={"every": 4}, **changes)
        config.pretrain = ConfigDict()
        config.data.source, config.label_budget = source, 40
        config.data.augment.shift = int(family != "bert")
        config.model.family, config.model.source, config.model.settings = family, "", settings
        return plan(config)

    return make


@pytest.fixture(scope="module")
def planned(tiny_config):
    return {name: plan(tiny_config("w", strategy=name)) for name in ("full", "linear_probe", "last_blocks:1")}


def test_a_plan_needs_no_trained_source(planned):
    assert planned["full"]["phases"][0]["relative_flops"] == pytest.approx(1.0)
    assert planned["full"]["topologies"] == []


def test_a_source_that_is_neither_there_nor_to_be_made_is_refused(tiny_config, tmp_path):
    config = tiny_config(tmp_path)
    config.pretrain = ConfigDict()
    with pytest.raises(InputError, match="nothing here: source"):
        plan(config)


def test_a_source_is_named_where_it_is_there_and_not_where_pretraining_would_make_it(tiny_config, tmp_path):
    config = tiny_config(tmp_path)
    resolved, base = weightless(config)
    assert (resolved["model"]["source"], base) == ("", tmp_path)
    config.pretrain = ConfigDict()
    assert weightless(config)[0]["model"]["source"] == "source"


def test_what_trains_less_costs_less(planned):
    shares = [planned[name]["phases"][0]["relative_flops"] for name in ("linear_probe", "last_blocks:1", "full")]
    assert shares == sorted(shares)
    # Forward alone is a third of forward and backward, but for the random bits of dropout: a probe draws none.
    assert shares[0] == pytest.approx(1 / 3, abs=0.06)


def test_the_label_table_covers_every_parameter_in_every_plan(planned):
    totals = {name: sum(group["parameters"] for group in p["phases"][0]["groups"]) for name, p in planned.items()}
    assert len(set(totals.values())) == 1
    frozen = {g["name"]: g for g in planned["linear_probe"]["phases"][0]["groups"]}["frozen"]
    assert (frozen["learning_rate"], frozen["weight_decay"], frozen["norm_mode"]) == (None, None, "frozen")


def test_the_head_alone_has_two_moments_a_parameter_and_a_count(planned):
    phase = planned["linear_probe"]["phases"][0]
    head = {g["name"]: g for g in phase["groups"]}["head"]["parameters"]
    assert phase["optimizer_bytes"] == 4 * (2 * head + 1)
    assert phase["trained_share"] == pytest.approx(head / sum(g["parameters"] for g in phase["groups"]))


def test_the_strategies_of_these_tests_are_all_there_are():
    assert {strategy.partition(":")[0] for strategy in STRATEGIES} == set(NAMES)


@pytest.mark.parametrize("family", MODELS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_can_be_planned_on_every_family_that_can_take_it(plan_of, strategy, family):
    if (strategy, family) == ("lora:2", "resnet"):
        with pytest.raises(InputError, match="adapts dense layers, and the backbone of this model has none"):
            plan_of(strategy, family)
        return
    planned = plan_of(strategy, family)
    assert [phase["start"] for phase in planned["phases"]] == sorted({phase["start"] for phase in planned["phases"]})
    total = {sum(group["leaves"] for group in phase["groups"]) for phase in planned["phases"]}
    assert len(total) == 1
    for phase in planned["phases"]:
        assert 0 < phase["trained_share"] <= 1
        # Adapters are computed beside what they adapt: on layers this narrow they cost more than they save. The update
        # of BERT's embedding is most of what this small a model computes.
        least, most = 0.1 if family == "bert" else 0.3, 1.4 if strategy == "lora:2" else 1.01
        assert least < phase["relative_flops"] < most
        assert sum(group["share"] for group in phase["groups"]) == pytest.approx(1.0)
    json.dumps(planned, allow_nan=False)
    assert format_plan(planned).count("\nphase ") == len(planned["phases"])


def test_a_phase_that_waits_for_a_plateau_has_no_start_but_a_rule(plan_of):
    probe, everything = plan_of("lp_ft:plateau", plateau={"patience": 2})["phases"]
    assert (probe["start"], probe["start_rule"]) == (0, "step 0")
    assert everything["start"] is None
    assert everything["start_rule"] == "a plateau (2 validations without a lower loss)"
    text = format_plan(plan_of("lp_ft:plateau", plateau={"patience": 2}))
    assert "phase 1, from a plateau (2 validations without a lower loss): trains 100.00% of the parameters" in text


def test_a_phase_costs_what_the_strategy_costs_that_trains_the_same(plan_of):
    phases = plan_of("gradual:5")["phases"]
    same = [plan_of(name)["phases"][0] for name in ("linear_probe", "last_blocks:1", "last_blocks:2", "full")]
    assert [p["relative_flops"] for p in phases] == pytest.approx([p["relative_flops"] for p in same], abs=1e-3)
    assert [p["trained_share"] for p in phases] == pytest.approx([p["trained_share"] for p in same])


def test_controls_are_named(plan_of):
    assert plan_of("linear_probe", init="scratch")["control"] == "random features"
    assert plan_of("full", init="mean_var")["control"] == "scale without features"
    assert plan_of("linear_probe")["control"] == plan_of("scratch")["control"] == ""
    text = format_plan(plan_of("linear_probe", init="scratch"))
    assert text.startswith("strategy linear_probe from init scratch, a control: random features\n")


def test_a_plan_is_json_and_prints_as_a_table(planned):
    again = json.loads(json.dumps(planned["last_blocks:1"]))
    assert again == planned["last_blocks:1"]
    assert not math.isnan(again["phases"][0]["relative_flops"])
    lines = format_plan(again).splitlines()
    assert lines[0] == "strategy last_blocks:1 from init pretrained"
    phase = again["phases"][0]
    assert lines[2] == (
        f"phase 0, from step 0: trains {phase['trained_share']:.2%} of the parameters, "
        f"{phase['relative_flops']:.3f} of the FLOPs of full training, "
        f"{phase['optimizer_bytes']:,} bytes of optimizer state"
    )
    assert lines[3].startswith("group")
    assert [line.split()[0] for line in lines[4:]] == ["backbone", "head", "frozen"]


@pytest.fixture(scope="module")
def large():
    """The plan of a probe on ViT-B/16 at 224 pixels, what was compiled for it, and what it left in memory."""
    before = sum(array.nbytes for array in jax.live_arrays())
    changes = {"data.source": "synthetic:224x10", "global_batch_size": 32, "strategy": "lp_ft:50"}
    with count_compilations() as compiled:
        planned = plan(configuration.merge(configuration.default(), changes))
    return planned, compiled, sum(array.nbytes for array in jax.live_arrays()) - before


def test_a_large_model_is_planned_without_making_its_weights(large):
    planned, compiled, left = large
    assert sum(group["parameters"] for group in planned["phases"][0]["groups"]) > 85e6
    assert not {"initialise_scratch", "initialise_state", "train_step"} & set(compiled)
    assert left < 1e6


def test_the_cost_of_a_probe_on_a_large_model_is_that_of_the_forward_pass(large):
    probe, everything = large[0]["phases"]
    # Dense layers and attention alone give 0.334.
    assert probe["relative_flops"] == pytest.approx(0.334, abs=0.02)
    assert everything["relative_flops"] == 1.0


def run_with_an_accelerator(words, **environment):
    """Runs a command line in a process of its own that has, besides the CPU, an accelerator that says when started."""
    program = f"""
        import sys, jax
        from jax._src import xla_bridge

        def accelerator():
            print("an accelerator was started", file=sys.stderr)
            raise RuntimeError("and has failed")

        xla_bridge.register_backend_factory("accelerator", accelerator, priority=500, fail_quietly=True)
        from tlj import cli

        code = cli.main({words!r})
        print("platforms:", *sorted(xla_bridge.backends()), file=sys.stderr)
        sys.exit(code)
    """
    variables = {name: value for name, value in os.environ.items() if name != "JAX_PLATFORMS"} | environment
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, cwd=ROOT, env=variables,
        check=False,
    )  # fmt: skip


PLAN = ("plan", "--config=configs/digits.py", "--config.strategy=linear_probe", "--json")


def test_the_verb_starts_no_backend_but_the_cpu():
    process = run_with_an_accelerator(PLAN)
    assert process.returncode == 0, process.stderr
    assert process.stderr.splitlines()[-1] == "platforms: cpu"
    assert "an accelerator was started" not in process.stderr
    assert json.loads(process.stdout)["phases"][0]["relative_flops"] < 0.4


def test_the_verb_leaves_the_choice_of_platform_to_who_has_made_it():
    process = run_with_an_accelerator(PLAN, JAX_PLATFORMS="accelerator,cpu")
    assert "an accelerator was started" in process.stderr
