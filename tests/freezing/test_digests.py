"""Frozen means frozen: bit by bit, after real steps, and proved by digests."""

import functools

import jax
import numpy as np
import pytest
from flax import traverse_util

from tlj.data.images import Augmentation, Preprocessing
from tlj.freezing.digests import FrozenChangedError, check_phase_end, leaf_digests
from tlj.freezing.modes import norm_mode
from tlj.freezing.optimizer import hyperparameters
from tlj.freezing.phases import FROZEN
from tlj.models.registry import build
from tlj.models.resnet import ResNetSpec
from tlj.models.vit import ViTSpec
from tlj.pretrained.initialise import initial_variables
from tlj.streams import key
from tlj.training.state import create_state
from tlj.training.step import make_train_step
from tlj.training.step_settings import StepSettings

VIT = ViTSpec(num_classes=3, image_size=8, patch_size=4, width=16, depth=2, heads=2, dropout=0.1, stochastic_depth=0.1)
RESNET = ResNetSpec(
    num_classes=3, image_size=8, stem="cifar", stem_width=8, block="basic", stage_depths=(1, 1), stage_widths=(8, 16)
)
SPECS = {"vit": VIT, "resnet": RESNET}
CASES = [(family, strategy) for family in SPECS for strategy in ("linear_probe", "last_blocks:1")]
STEPS = 20


def starting_variables(spec):
    """Scratch variables whose zeros are negative, which only a bitwise comparison tells from zeros."""
    variables, _ = initial_variables("scratch", spec, None, 0)
    return jax.tree.map(lambda leaf: np.where(np.asarray(leaf) == 0, np.float32(-0.0), leaf), variables)


def after_steps(spec, phase):
    """The state of a phase before and after real steps with every temptation to move what is frozen."""
    settings = StepSettings(clip_norm=0.5, label_smoothing=0.1)
    state = create_state(starting_variables(spec), phase, settings, hyperparameters(phase))
    before = jax.device_get(state)
    preprocessing = Preprocessing(8, (0.3,) * 3, (0.2,) * 3)
    step = jax.jit(make_train_step(build(spec), phase, settings, preprocessing, Augmentation(shift=1)))
    rng, keys = np.random.default_rng(0), {name: key(0, name) for name in ("augment", "dropout")}
    for _ in range(STEPS):
        batch = {"image": rng.integers(0, 256, (8, 8, 8, 3), np.uint8), "label": rng.integers(0, 3, 8).astype(np.int32)}
        state, metrics = step(state, batch, keys)
    assert np.isfinite(metrics["loss"])
    return before, jax.device_get(state)


@pytest.fixture(scope="module")
def trained(phase_of):
    """Returns a phase and its state before and after: ``trained("vit", "linear_probe")``, or with a mode of norms."""

    @functools.cache
    def train(family: str, strategy: str, group: str = "", norm_mode: str = ""):
        groups = {group: {"norm_mode": norm_mode}} if group else {}
        phase = phase_of(SPECS[family], strategy, steps=STEPS, groups=groups, decays="all")
        return phase, *after_steps(SPECS[family], phase)

    return train


def flat(tree) -> dict[str, np.ndarray]:
    return traverse_util.flatten_dict(tree, sep="/")


@pytest.mark.parametrize(("family", "strategy"), CASES)
def test_frozen_leaves_are_bit_identical_with_weight_decay_clipping_and_dropout(trained, family, strategy):
    phase, before, after = trained(family, strategy)
    frozen = [path for path, label in phase.labels if label == FROZEN]
    assert frozen
    assert int(after.step) == STEPS
    start, end = flat(before.params), flat(after.params)
    assert any(np.signbit(start[path][start[path] == 0]).any() for path in frozen)
    for path in frozen:
        assert start[path].tobytes() == end[path].tobytes(), path


@pytest.mark.parametrize(("family", "strategy"), CASES)
def test_every_trained_leaf_moves(trained, family, strategy):
    phase, before, after = trained(family, strategy)
    start, end = flat(before.params), flat(after.params)
    for path in phase.trained:
        assert not np.array_equal(start[path], end[path]), path
        assert end[path].dtype == np.float32


@pytest.mark.parametrize("strategy", ["linear_probe", "last_blocks:1"])
def test_statistics_of_frozen_norms_are_bit_identical_and_those_of_trained_norms_move(trained, strategy):
    phase, before, after = trained("resnet", strategy)
    start, end = flat(before.batch_stats), flat(after.batch_stats)
    assert start.keys() == end.keys()
    still = {path for path in start if start[path].tobytes() == end[path].tobytes()}
    trains = strategy == "last_blocks:1"
    assert still == {path for path in start if not (trains and path.startswith("backbone/block1/"))}
    assert still == {path for path in start if norm_mode(phase, path.rpartition("/")[0]) == "frozen"}


@pytest.mark.parametrize(("family", "strategy"), CASES)
def test_the_state_keeps_its_structure_and_nothing_for_what_is_frozen(trained, family, strategy):
    phase, before, after = trained(family, strategy)
    assert jax.tree.structure(before) == jax.tree.structure(after)
    sizes = {path: leaf.size for path, leaf in flat(after.params).items()}
    moments = sum(leaf.size for leaf in jax.tree.leaves(after.opt_state) if leaf.ndim)
    assert moments == 2 * sum(sizes[path] for path in phase.trained)


@pytest.mark.parametrize(("family", "strategy"), CASES)
def test_the_check_at_the_end_of_a_real_phase_passes(trained, family, strategy):
    phase, before, after = trained(family, strategy)
    digests = [leaf_digests(state.params) | leaf_digests(state.batch_stats) for state in (before, after)]
    assert check_phase_end(phase, *digests) == ()


def test_digests_are_of_bytes_by_path():
    tree = {"a": {"b": np.zeros(3, np.float32)}, "c": np.float32(1.0)}
    digests = leaf_digests(tree)
    assert digests.keys() == {"a/b", "c"}
    assert leaf_digests({"a": {"b": np.zeros(3, np.float32)}, "c": np.float32(1.0)}) == digests
    assert leaf_digests({"a": {"b": -np.zeros(3, np.float32)}, "c": np.float32(1.0)})["a/b"] != digests["a/b"]
    assert leaf_digests({"a": {"b": np.zeros(3, np.float32)}, "c": np.nextafter(np.float32(1), 2)})["c"] != digests["c"]
    assert leaf_digests({}) == {}


def test_digests_do_not_depend_on_where_an_array_lives_or_how_it_is_laid_out():
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    digests = [leaf_digests({"a": leaf}) for leaf in (values, jax.numpy.asarray(values), np.asfortranarray(values))]
    assert digests[0] == digests[1] == digests[2]


def changed(digests: dict[str, str], *paths: str) -> dict[str, str]:
    return {path: "other" if path in paths else digest for path, digest in digests.items()}


@pytest.fixture(scope="module")
def probe(phase_of):
    """The phase of a probe on a ResNet and the digests of its start."""
    phase, variables = phase_of(RESNET, "linear_probe"), starting_variables(RESNET)
    return phase, leaf_digests(variables["params"]) | leaf_digests(variables["batch_stats"])


def test_every_frozen_parameter_and_statistic_that_changed_is_listed(probe):
    phase, before = probe
    moved = ("backbone/embedding/conv/kernel", "backbone/block0/conv1/norm/mean", "backbone/block1/shortcut/norm/scale")
    with pytest.raises(FrozenChangedError) as caught:
        check_phase_end(phase, before, changed(before, *moved, "head/bias", "head/kernel"))
    assert all(path in str(caught.value) for path in moved)
    assert "head/" not in str(caught.value)


def test_a_trained_leaf_that_never_moved_is_named(probe):
    phase, before = probe
    assert check_phase_end(phase, before, changed(before, "head/kernel")) == ("head/bias",)


def test_statistics_that_move_in_a_trained_norm_are_no_error(phase_of):
    phase, variables = phase_of(RESNET, "last_blocks:1"), starting_variables(RESNET)
    before = leaf_digests(variables["params"]) | leaf_digests(variables["batch_stats"])
    moved = (*phase.trained, "backbone/block1/conv0/norm/mean")
    assert check_phase_end(phase, before, changed(before, *moved)) == ()
    with pytest.raises(FrozenChangedError, match="backbone/block0/conv0/norm/var"):
        check_phase_end(phase, before, changed(before, *moved, "backbone/block0/conv0/norm/var"))


def digests_of(state) -> dict[str, str]:
    return leaf_digests(state.params) | leaf_digests(state.batch_stats)


def test_a_probe_with_adapting_norms_moves_statistics_and_not_one_weight_and_passes_the_check(trained):
    phase, before, after = trained("resnet", "linear_probe", FROZEN, "adapt")
    start, end = digests_of(before), digests_of(after)
    moved = {path for path in start if start[path] != end[path]}
    assert moved == {"head/kernel", "head/bias", *flat(before.batch_stats)}
    assert set(phase.adapting) == {path.rpartition("/")[0] for path in flat(before.batch_stats)}
    assert check_phase_end(phase, start, end) == ()


def test_the_check_of_adapting_norms_lets_their_statistics_move_and_nothing_else(trained):
    phase, before, _ = trained("resnet", "linear_probe", FROZEN, "adapt")
    start, norm = digests_of(before), "backbone/block0/conv1/norm"
    assert (
        check_phase_end(phase, start, changed(start, "head/kernel", "head/bias", f"{norm}/mean", f"{norm}/var")) == ()
    )
    for path in (f"{norm}/scale", f"{norm}/bias", "backbone/embedding/conv/kernel"):
        with pytest.raises(FrozenChangedError) as caught:
            check_phase_end(phase, start, changed(start, path, f"{norm}/mean"))
        assert path in str(caught.value)
        assert f"{norm}/mean" not in str(caught.value)


@pytest.mark.parametrize("mode", ["adapt", "frozen"])
def test_a_group_may_train_beside_norms_that_do_not(trained, mode):
    phase, before, after = trained("resnet", "last_blocks:1", "backbone", mode)
    start, end = digests_of(before), digests_of(after)
    moved = {path for path in start if start[path] != end[path]}
    in_block = {path for path in start if path.startswith("backbone/block1/")}
    norms, statistics = ({p for p in in_block if p.endswith(names)}
                         for names in (("norm/scale", "norm/bias"), ("norm/mean", "norm/var")))  # fmt: skip
    assert norms
    assert statistics
    expected = {"head/kernel", "head/bias", *(in_block - norms - statistics), *(statistics if mode == "adapt" else ())}
    assert moved == expected
    assert check_phase_end(phase, start, end) == ()
