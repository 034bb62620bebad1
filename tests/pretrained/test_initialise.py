"""The three inits of an arm."""

import copy
import dataclasses

import jax
import numpy as np
import pytest
from flax import traverse_util

from tlj.data.images import Preprocessing
from tlj.errors import InputError
from tlj.models.resnet import ResNetSpec
from tlj.models.vit import ViTSpec
from tlj.pretrained import initialise
from tlj.pretrained.initialise import (
    initial_variables,
    is_read_once,
    mean_var_params,
    moments,
    reading_once,
    scratch_variables,
)
from tlj.pretrained.load_plan import INITS
from tlj.pretrained.load_report import array_hash
from tlj.pretrained.source import PretrainedSource, source_of_variables
from tlj.streams import key

SPECS = {
    "vit": ViTSpec(num_classes=3, image_size=8, patch_size=4, width=16, depth=2, heads=2),
    "resnet": ResNetSpec(
        num_classes=3,
        image_size=8,
        stem="cifar",
        stem_width=8,
        block="basic",
        stage_depths=(1, 1),
        stage_widths=(8, 16),
    ),
}


def flat(tree) -> dict[str, np.ndarray]:
    return traverse_util.flatten_dict(jax.device_get(tree), sep="/")


def random_source(spec) -> PretrainedSource:
    """A source with values that no init would give, another mean and spread for each leaf among them."""
    shapes, _ = initial_variables("scratch", spec, None, 99)
    rng = np.random.default_rng(0)
    variables = jax.tree.map(
        lambda leaf: rng.normal(rng.uniform(-2, 2), rng.uniform(0.5, 3), leaf.shape).astype(np.float32), dict(shapes)
    )
    return source_of_variables(spec, Preprocessing(8, (0.5,) * 3, (0.5,) * 3), variables, step=3)


@pytest.fixture(scope="module", params=list(SPECS))
def source(request):
    return random_source(SPECS[request.param])


@pytest.fixture(scope="module")
def vit_source():
    return random_source(SPECS["vit"])


@pytest.mark.parametrize("seed", [0, 1])
def test_one_seed_gives_one_head_whatever_the_init(source, seed):
    heads = [initial_variables(init, source.spec, source, seed)[0]["params"]["head"] for init in INITS]
    for head in heads[1:]:
        jax.tree.map(np.testing.assert_array_equal, head, heads[0])


def test_seeds_have_heads_of_their_own(source):
    kernels = [initial_variables("pretrained", source.spec, source, s)[0]["params"]["head"]["kernel"] for s in (0, 1)]
    assert not np.array_equal(*kernels)


@pytest.mark.parametrize("init", ["scratch", "mean_var"])
def test_seeds_have_backbones_of_their_own_and_one_seed_has_one(source, init):
    first, again, other = (
        flat(initial_variables(init, source.spec, source, seed)[0]["params"]["backbone"]) for seed in (0, 0, 1)
    )
    for path in first:
        np.testing.assert_array_equal(first[path], again[path])
        # What starts as a constant is the same for every seed.
        assert np.array_equal(first[path], other[path]) == (np.ptp(first[path]) == 0)


def test_the_backbone_does_not_depend_on_the_head():
    spec = ViTSpec(num_classes=3, image_size=8, patch_size=4, width=16, depth=1, heads=2)

    @jax.jit
    def initialise(backbone_key, head_key):
        return scratch_variables(spec, backbone_key, head_key)["params"]

    backbones, heads = (key(0, "backbone_init"), key(1, "backbone_init")), (key(0, "head_init"), key(1, "head_init"))
    base = initialise(backbones[0], heads[0])
    other_head, other_backbone = initialise(backbones[0], heads[1]), initialise(backbones[1], heads[0])
    jax.tree.map(np.testing.assert_array_equal, base["backbone"], other_head["backbone"])
    jax.tree.map(np.testing.assert_array_equal, base["head"], other_backbone["head"])
    assert not np.array_equal(base["head"]["kernel"], other_head["head"]["kernel"])
    kernels = [p["backbone"]["embedding"]["patch"]["kernel"] for p in (base, other_backbone)]
    assert not np.array_equal(*kernels)


def test_the_backbone_of_a_seed_does_not_depend_on_the_number_of_classes():
    few, many = (
        initial_variables("scratch", ViTSpec(classes, 8, 4, 16, 2, 2), None, 0)[0]["params"]["backbone"]
        for classes in (3, 7)
    )
    jax.tree.map(np.testing.assert_array_equal, few, many)


def test_pretrained_takes_every_value_and_statistic_of_the_source_but_its_head(source):
    variables, _ = initial_variables("pretrained", source.spec, source, 0)
    for part in ("params", "batch_stats"):
        ours, theirs = flat(variables[part]), flat(source.variables[part])
        assert ours.keys() == theirs.keys()
        for path in ours:
            assert np.array_equal(ours[path], theirs[path]) == (not path.startswith("head/")), path


def test_a_head_that_is_kept_is_the_source_s(source):
    variables, report = initial_variables("pretrained", source.spec, source, 0, keep_head=True)
    jax.tree.map(np.testing.assert_array_equal, variables["params"]["head"], source.variables["params"]["head"])
    assert {leaf.status for leaf in report.leaves} == {"loaded"}


@pytest.mark.parametrize("init", INITS)
def test_every_leaf_is_in_the_report_once_with_what_became_of_it(source, init):
    variables, report = initial_variables(init, source.spec, source, 0)
    wanted = flat(variables)
    of_model = [leaf for leaf in report.leaves if leaf.path]
    assert [leaf.path for leaf in of_model] == sorted(wanted)
    found = flat(source.variables)
    for leaf in of_model:
        assert leaf.shape == wanted[leaf.path].shape
        weights = leaf.path.startswith("params/backbone/")
        statistics = leaf.path.startswith("batch_stats/")
        expected = {
            "scratch": "reset",
            "mean_var": "drawn" if weights else "reset",
            "pretrained": "loaded" if weights or statistics else "reset",
        }[init]
        assert leaf.status == expected, leaf.path
        assert (leaf.source, leaf.hash) == (
            ("", "") if expected == "reset" else (leaf.path, array_hash(found[leaf.path]))
        )


@pytest.mark.parametrize("init", ["pretrained", "mean_var"])
def test_what_the_source_holds_and_the_model_does_not_take_is_told_with_its_hash(source, init):
    _, report = initial_variables(init, source.spec, source, 0)
    ignored = {leaf.source: (leaf.hash, leaf.note) for leaf in report.leaves if leaf.status == "ignored"}
    reset = {leaf.path for leaf in report.leaves if leaf.status == "reset"}
    expected = {path: (array_hash(source.leaves[path].read()), "the model's own starts anew") for path in reset}
    assert ignored == expected
    assert "params/head/kernel" in ignored


def test_mean_var_has_mean_and_variance_of_every_pretrained_leaf(source):
    backbone = flat({"backbone": source.variables["params"]["backbone"]})
    draws = [flat(initial_variables("mean_var", source.spec, source, seed)[0]["params"]) for seed in range(20)]
    for path, leaf in backbone.items():
        drawn = np.stack([draw[path] for draw in draws]).astype(np.float64)
        count, std = drawn.size, leaf.std()
        # Five standard errors of a normal sample's mean and variance.
        assert abs(drawn.mean() - leaf.mean()) < 5 * std / np.sqrt(count), path
        assert abs(drawn.var() - std**2) < 5 * std**2 * np.sqrt(2 / count), path


def test_mean_var_keeps_none_of_the_values(source):
    params = flat(initial_variables("mean_var", source.spec, source, 0)[0]["params"]["backbone"])
    for path, leaf in flat(source.variables["params"]["backbone"]).items():
        assert not np.any(params[path] == leaf), path


def test_mean_var_draws_leaves_of_one_shape_apart(vit_source):
    params = initial_variables("mean_var", vit_source.spec, vit_source, 0)[0]["params"]["backbone"]
    kernels = [np.ravel(params[block]["mlp"]["up"]["kernel"]) for block in ("block0", "block1")]
    assert abs(np.corrcoef(*kernels)[0, 1]) < 0.1


def test_mean_var_gives_a_constant_leaf_back():
    params = {"backbone": {"scale": np.full(4, 1.5, np.float32)}}
    known = {"backbone/scale": moments(params["backbone"]["scale"])}
    drawn = mean_var_params(params, known, key(0, "backbone_init"))
    np.testing.assert_array_equal(drawn["backbone"]["scale"], params["backbone"]["scale"])


def test_statistics_start_anew_under_scratch_and_mean_var():
    source = random_source(SPECS["resnet"])
    for init in ("scratch", "mean_var"):
        for path, leaf in flat(initial_variables(init, source.spec, source, 0)[0]["batch_stats"]).items():
            np.testing.assert_array_equal(leaf, np.ones_like(leaf) if path.endswith("var") else np.zeros_like(leaf))


def test_moments_are_taken_in_float64():
    leaf = np.full(10**6, 0.1, np.float32) + np.float32(1000)
    mean, std = moments(leaf)
    assert mean == np.float32(leaf.astype(np.float64).mean())
    assert std == 0.0


@pytest.mark.parametrize("init", INITS)
def test_parameters_are_float32(source, init):
    variables, _ = initial_variables(init, source.spec, source, 0)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype("float32")}


def test_a_source_in_half_precision_becomes_float32(vit_source):
    half = jax.tree.map(lambda leaf: leaf.astype(np.float16), vit_source.variables)
    source = source_of_variables(vit_source.spec, vit_source.preprocessing, half)
    variables, _ = initial_variables("pretrained", source.spec, source, 0)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype("float32")}


@pytest.mark.parametrize("init", ["pretrained", "mean_var"])
def test_a_source_that_diverged_is_refused(vit_source, init):
    variables = copy.deepcopy(vit_source.variables)
    variables["params"]["backbone"]["norm"]["scale"][3] = np.nan
    source = source_of_variables(vit_source.spec, vit_source.preprocessing, variables, location="DIR/source")
    with pytest.raises(InputError, match="DIR/source: params/backbone/norm/scale has 1 of 16 numbers that are NaN"):
        initial_variables(init, source.spec, source, 0)


@pytest.mark.parametrize("init", ["pretrained", "mean_var"])
def test_missing_extra_and_misshapen_leaves_are_listed_in_one_error(vit_source, init):
    variables = copy.deepcopy(vit_source.variables)
    backbone = variables["params"]["backbone"]
    del backbone["norm"]
    del backbone["block0"]["mlp"]["up"]["bias"]
    backbone["block7"] = {"kernel": np.zeros((2, 2), np.float32)}
    variables["batch_stats"] = {"backbone": {"mean": np.zeros(2, np.float32)}}
    backbone["embedding"]["position"] = np.zeros((1, 9, 16), np.float32)
    source = source_of_variables(vit_source.spec, vit_source.preprocessing, variables)
    with pytest.raises(InputError) as caught:
        initial_variables(init, source.spec, source, 0)
    message = str(caught.value)
    for problem in (
        "missing params/backbone/norm/scale",
        "missing params/backbone/norm/bias",
        "missing params/backbone/block0/mlp/up/bias",
        "extra params/backbone/block7/kernel",
        "extra batch_stats/backbone/mean",
        "params/backbone/embedding/position has shape (1, 9, 16), the model wants (1, 5, 16)",
    ):
        assert problem in message
    assert "head" not in message


def test_a_head_of_other_classes_is_reset_and_only_kept_where_it_fits(vit_source):
    spec = ViTSpec(7, 8, 4, 16, 2, 2)
    variables, _ = initial_variables("pretrained", spec, vit_source, 0)
    assert variables["params"]["head"]["kernel"].shape == (16, 7)
    with pytest.raises(
        InputError, match=r"params/head/bias has shape \(3,\), the model wants \(7,\).*params/head/kernel"
    ):
        initial_variables("pretrained", spec, vit_source, 0, keep_head=True)


def test_leaves_that_a_source_may_lack_start_anew(vit_source):
    lacking = {"params/backbone/norm/scale", "params/backbone/block1/mlp/up/kernel"}
    leaves = {path: leaf for path, leaf in vit_source.leaves.items() if path not in lacking}
    source = dataclasses.replace(vit_source, leaves=leaves, reset=frozenset(lacking))
    scratch = flat(initial_variables("scratch", source.spec, None, 0)[0])
    variables, report = initial_variables("pretrained", source.spec, source, 0, keep_head=True)
    for path, leaf in flat(variables).items():
        theirs = scratch[path] if path in lacking else leaves[path].read()
        np.testing.assert_array_equal(leaf, theirs, err_msg=path)
    assert {leaf.path for leaf in report.leaves if leaf.status == "reset"} == lacking


def test_a_load_does_not_draw_a_backbone_that_it_throws_away(vit_source, monkeypatch):
    drawn = []

    def noted(spec, part, make=initialise._scratch_program):
        return lambda *keys: drawn.append(make(spec, part)(*keys)) or drawn[-1]

    monkeypatch.setattr(initialise, "_scratch_program", noted)
    initial_variables("pretrained", dataclasses.replace(vit_source.spec, num_classes=9), vit_source, 0)
    assert [set(leaves) for leaves in drawn] == [{"params/head/kernel", "params/head/bias"}]
    drawn.clear()
    initial_variables("pretrained", vit_source.spec, vit_source, 0, keep_head=True)
    assert drawn == []


def test_inits_that_need_a_source_say_so_and_unknown_ones_are_named():
    for init in ("pretrained", "mean_var"):
        with pytest.raises(InputError, match=f"init '{init}' needs a source"):
            initial_variables(init, SPECS["vit"], None, 0)
    with pytest.raises(InputError, match=r"unknown init 'pretraind'; did you mean 'pretrained'"):
        initial_variables("pretraind", SPECS["vit"], None, 0)


def test_a_source_is_read_once_for_all_models_that_are_loaded_together(vit_source):
    read = []

    def counted(path, leaf):
        def note():
            read.append(path)
            return leaf.read()

        return dataclasses.replace(leaf, read=note)

    leaves = {path: counted(path, leaf) for path, leaf in vit_source.leaves.items()}
    source = dataclasses.replace(vit_source, leaves=leaves)
    with reading_once():
        (first, report), (second, again) = (
            initial_variables("pretrained", source.spec, source, seed) for seed in (0, 1)
        )
        # What the model does not take is read for its hash alone.
        assert len(taken := [path for path in read if "backbone" in path]) == len(set(taken)) > 0
        kernels = [variables["params"]["backbone"]["block0"]["mlp"]["up"]["kernel"] for variables in (first, second)]
        assert kernels[0] is kernels[1]
        assert is_read_once(kernels[0])
        assert not is_read_once(first["params"]["head"]["kernel"])
    assert report == again == initial_variables("pretrained", source.spec, source, 0)[1]
    assert not is_read_once(kernels[0])
    jax.tree.map(np.testing.assert_array_equal, first, initial_variables("pretrained", source.spec, source, 0)[0])
