"""Every init with every strategy: what makes sense is trained and named, what makes none is refused."""

import json

import numpy as np
import pytest
from flax import traverse_util

from tlj import config as configuration
from tlj.benchmark.plan import plan
from tlj.errors import InputError
from tlj.experiments.arms import parse_arm
from tlj.experiments.compare import compare
from tlj.freezing.strategies.registry import NAMES, parse_strategy
from tlj.pretrained.initialise import initial_variables
from tlj.pretrained.load_plan import INITS
from tlj.pretrained.runs import read_run, read_variables
from tlj.training.initial import run_variables

RULES = ((r"head/.*", "head"), (r".*", "frozen"))
STRATEGIES = [
    "scratch",
    "full",
    "linear_probe",
    "last_blocks:1",
    "first_blocks:1",
    "blocks:0-0",
    "copy_freeze:1",
    "copy_train:1",
    "lp_ft:5",
    "gradual:5",
    "discriminative",
    "freeze_out",
    "bias_only",
    "norm_only",
    "lora:2",
    "rules",
    "full+l2_sp",
    "linear_probe+discriminative",
]
# `scratch` is scratch; a copy that trains on top of nothing copied is too; L2-SP wants a start worth staying close to.
SENSELESS = {
    *(("scratch", init) for init in ("pretrained", "mean_var")),
    ("copy_train:1", "scratch"),
    ("full+l2_sp", "scratch"),
}
# On a backbone that was never trained, these leave some of it as it was drawn.
RANDOM_FEATURES = {
    "linear_probe",
    "last_blocks:1",
    "first_blocks:1",
    "blocks:0-0",
    "copy_freeze:1",
    "bias_only",
    "norm_only",
    "lora:2",
    "rules",
    "linear_probe+discriminative",
}
PAIRS = [(strategy, init) for strategy in STRATEGIES for init in INITS]


def flat(tree) -> dict[str, np.ndarray]:
    return {path: np.asarray(leaf) for path, leaf in traverse_util.flatten_dict(tree, sep="/").items()}


def test_every_strategy_is_among_the_cases():
    assert {parse_strategy(text).name for text in STRATEGIES} == set(NAMES)


@pytest.mark.parametrize(("strategy", "init"), [pair for pair in PAIRS if pair in SENSELESS])
def test_an_init_that_makes_no_sense_is_refused_and_says_what_does(strategy, init):
    with pytest.raises(InputError, match=f"cannot start from init '{init}'; use init ") as caught:
        parse_arm(f"{strategy}@{init}")
    assert f"'{strategy}'" in str(caught.value)


@pytest.mark.parametrize(("strategy", "init"), [pair for pair in PAIRS if pair not in SENSELESS])
def test_an_init_that_makes_sense_sets_up_and_a_control_is_named(transfer, strategy, init):
    arm = parse_arm(f"{strategy}@{init}")
    assert (arm.strategy, arm.init) == (strategy, init)
    rules = RULES if strategy == "rules" else ()
    setup = transfer("vit", strategy, {"init": init, "rules": rules, "steps": 40})
    random = "random features" if strategy in RANDOM_FEATURES else ""
    assert setup.control == {"pretrained": "", "scratch": random, "mean_var": "scale without features"}[init]


UNUSUAL = {
    "copy_freeze:1@mean_var": "scale without features",
    "lora:2@scratch": "random features",
    "linear_probe@scratch": "random features",
    "copy_train:1": "",
}


@pytest.fixture(scope="module")
def unusual(tiny_config, tmp_path_factory):
    """The workdir of a comparison of unusual arms, and its config."""
    changes = {"arms": ("scratch", *UNUSUAL), "label_budgets": (20,), "seeds": (0,), "steps": 3}
    config = tiny_config(tmp_path_factory.mktemp("unusual"), **changes, pretrain={"steps": 5})
    return compare(config, "tlj compare --config=unusual.py"), config


@pytest.mark.parametrize("arm", UNUSUAL)
def test_summary_manifest_and_plan_of_a_run_name_the_control(unusual, arm):
    workdir, config = unusual
    directory = workdir / "runs" / parse_arm(arm).folder / "20" / "0"
    for name in ("summary.json", "manifest.json"):
        found = json.loads((directory / name).read_text())
        assert found["control"] == UNUSUAL[arm]
        assert found["init"] == parse_arm(arm).init
    one_run = {"strategy": parse_arm(arm).strategy, "init": parse_arm(arm).init, "label_budget": 20}
    planned = configuration.merge(config, one_run)
    assert plan(planned)["control"] == UNUSUAL[arm]


def test_a_run_s_load_report_says_which_blocks_were_drawn_copied_and_reset(unusual):
    workdir, _ = unusual
    for arm, came in (("copy_freeze:1@mean_var", "drawn"), ("copy_train:1", "loaded")):
        directory = workdir / "runs" / parse_arm(arm).folder / "20" / "0"
        rows = json.loads((directory / "manifest.json").read_text())["load_report"]
        by_place, ignored = {}, {row["source"] for row in rows if row["status"] == "ignored"}
        assert {row["path"] for row in rows if row["status"] == "reset"} == ignored
        for row in (row for row in rows if row["path"]):
            place = row["path"].split("/")[1:3]
            by_place.setdefault(place[0] if place[0] == "head" else place[1], set()).add(row["status"])
        reset = dict.fromkeys(["block1", "norm", "head"], {"reset"})
        assert by_place == {"embedding": {came}, "block0": {came}, **reset}


def test_what_is_copied_and_frozen_is_still_the_source_s_draw_after_the_run(unusual):
    workdir, _ = unusual
    source = read_run(workdir / "source")
    run = workdir / "runs" / parse_arm("copy_freeze:1@mean_var").folder / "20" / "0"
    params = read_variables(run)[0]["params"]
    drawn, _ = initial_variables("mean_var", read_run(run).spec, source, 0)
    for place in ("embedding", "block0"):
        ours, theirs = flat(params["backbone"][place]), flat(drawn["params"]["backbone"][place])
        assert {path: leaf.tobytes() for path, leaf in ours.items()} == {
            p: leaf.tobytes() for p, leaf in theirs.items()
        }


@pytest.fixture(params=["vit", "resnet", "bert"])
def family(request):
    return request.param


@pytest.mark.parametrize("strategy", ["copy_freeze", "copy_train"])
@pytest.mark.parametrize("copied", [1, 2])
def test_copies_are_the_source_s_bits_and_the_rest_is_the_scratch_twin_s_own(
    transfer, sources, family, strategy, copied
):
    setup = transfer(family, f"{strategy}:{copied}")
    assert setup.copied == copied
    variables, report = run_variables("pretrained", setup.spec, setup.pretrained, 3, copied=setup.copied)
    scratch, _ = run_variables("scratch", setup.spec, None, 3)
    found, source, twin = flat(variables), flat(read_variables(sources[family])[0]), flat(scratch)
    assert found.keys() == twin.keys()
    status = {leaf.path: leaf.status for leaf in report.leaves if leaf.path}
    assert status.keys() == found.keys()
    places = {"embedding", *(f"block{i}" for i in range(copied))}
    # What stands after the last block belongs to it.
    places |= {"norm", "pooler"} if copied == setup.spec.depth else set()
    for path, leaf in found.items():
        is_copied = path.split("/")[1] == "backbone" and path.split("/")[2] in places
        assert leaf.tobytes() == (source if is_copied else twin)[path].tobytes(), path
        assert status[path] == ("loaded" if is_copied else "reset"), path
    if family == "resnet":
        statistics = {path: status[path] for path in status if path.startswith("batch_stats/")}
        assert set(statistics.values()) == ({"loaded"} if copied == 2 else {"loaded", "reset"})
        assert all(source[path].tobytes() != twin[path].tobytes() for path in statistics)


def test_a_run_with_copies_trains_the_rest_from_where_its_scratch_twin_starts(transfer, family):
    setup = transfer(family, "copy_freeze:1")
    (phase,) = setup.phases
    variables, _ = run_variables(setup.init, setup.spec, setup.pretrained, 3, copied=setup.copied)
    scratch, _ = run_variables("scratch", setup.spec, None, 3)
    found, twin = flat(variables["params"]), flat(scratch["params"])
    for path in phase.trained:
        np.testing.assert_array_equal(found[path], twin[path], err_msg=path)
