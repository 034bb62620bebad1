"""Every leaf of a scratch twin has the mean and the variance of its family's published initialisation.

A leaf is drawn with many seeds. Its mean and its variance, in units of their sampling error, must be within BOUND of
those published; the samples are enough that a scale wrong by 5 % is not (tested).
"""

import functools
import itertools
import math
import re

import jax
import numpy as np
import pytest
from flax import traverse_util
from scipy import stats

from tlj.models.bert import BERTSpec
from tlj.models.resnet import ResNetSpec
from tlj.models.vit import ViTSpec
from tlj.pretrained.initialise import scratch_variables
from tlj.streams import key

# In standard errors: by chance about one in two million. The seeds are fixed, so what passes once passes always.
BOUND = 5.0
# A 5 % wrong scale moves the variance by at least 9.75 %: some 8 standard errors of the smallest leaf, 32 numbers.
SEEDS = 480

RESNET = dict(num_classes=8, image_size=8, stem_width=8, stage_depths=(2, 1), stage_widths=(8, 12))
SPECS = {
    "vit": ViTSpec(8, image_size=8, patch_size=4, width=32, depth=2, heads=2, mlp_width=48, pool="pooler"),
    "resnet, bottleneck": ResNetSpec(**RESNET, stem="imagenet", block="bottleneck"),
    "resnet, basic": ResNetSpec(**RESNET, stem="cifar", block="basic"),
    "bert": BERTSpec(8, vocabulary=40, width=32, depth=2, heads=2, mlp_width=48, positions=8),
}


def constant(value: float):
    return lambda shape: value


def normal(std: float):
    return lambda shape: stats.norm(0, std)


def truncated(std: float):
    """Cut at two standard deviations, which leaves 0.88 of them."""
    return lambda shape: stats.truncnorm(-2, 2, 0, std)


def glorot_uniform(shape):
    """Of the matrix (in, out); three of them stand side by side in query, key and value (Glorot and Bengio 2010)."""
    limit = math.sqrt(6 / (shape[0] + shape[-1]))
    return stats.uniform(-limit, 2 * limit)


def lecun_normal(shape):
    """Truncated, of variance one over the fan in: Flax's default (LeCun et al. 1998)."""
    return truncated(math.sqrt(1 / math.prod(shape[:-1])) / stats.truncnorm(-2, 2).std())(shape)


def he_normal_fan_out(shape):
    height, width, _, outputs = shape
    return stats.norm(0, math.sqrt(2 / (height * width * outputs)))


# The head is no family's own: it is tlj's, the same array in every arm.
HEAD = {"params/head/kernel": normal(0.02), "params/head/bias": constant(0)}
BLOCK = r"params/backbone/block\d"
# github.com/google-research/vision_transformer, vit_jax/models_vit.py; the pooler is its ``pre_logits``.
VIT = {
    "params/backbone/embedding/class_token": constant(0),
    "params/backbone/embedding/position": normal(0.02),
    "params/backbone/embedding/patch/kernel": lecun_normal,
    "params/backbone/embedding/patch/bias": constant(0),
    rf"{BLOCK}/attention/(query_key_value|out)/kernel": glorot_uniform,
    rf"{BLOCK}/attention/(query_key_value|out)/bias": constant(0),
    rf"{BLOCK}/mlp/(up|down)/kernel": glorot_uniform,
    rf"{BLOCK}/mlp/(up|down)/bias": normal(1e-6),
    r"params/backbone/(block\d/(attention|mlp)_)?norm/scale": constant(1),
    r"params/backbone/(block\d/(attention|mlp)_)?norm/bias": constant(0),
    "params/backbone/pooler/kernel": lecun_normal,
    "params/backbone/pooler/bias": constant(0),
}


def resnet(last: int):
    """He et al. 2015 (arXiv:1502.01852, section 2.2), fan out; Goyal et al. 2017 (arXiv:1706.02677, section 5.1)."""
    others = rf"embedding|block\d/(conv[^{last}]|shortcut)"
    return {
        rf"params/backbone/({others}|block\d/conv{last})/conv/kernel": he_normal_fan_out,
        rf"params/backbone/({others})/norm/scale": constant(1),
        rf"{BLOCK}/conv{last}/norm/scale": constant(0),
        r"params/backbone/.*/norm/bias": constant(0),
        r"batch_stats/backbone/.*/norm/mean": constant(0),
        r"batch_stats/backbone/.*/norm/var": constant(1),
    }


# github.com/google-research/bert, modeling.py: ``initializer_range`` 0.02 of TensorFlow's truncated normal.
BERT = {
    "params/backbone/embedding/(word|position|type)/embedding": truncated(0.02),
    rf"{BLOCK}/(attention/(query_key_value|out)|mlp/(up|down))/kernel": truncated(0.02),
    rf"{BLOCK}/(attention/(query_key_value|out)|mlp/(up|down))/bias": constant(0),
    r"params/backbone/(embedding/|block\d/(attention|mlp)_)norm/scale": constant(1),
    r"params/backbone/(embedding/|block\d/(attention|mlp)_)norm/bias": constant(0),
    "params/backbone/pooler/kernel": truncated(0.02),
    "params/backbone/pooler/bias": constant(0),
}
PUBLISHED = {"vit": VIT, "resnet, bottleneck": resnet(2), "resnet, basic": resnet(1), "bert": BERT}


@functools.cache
def drawn(name: str) -> dict[str, np.ndarray]:
    """Every leaf by its path, one row per seed."""
    spec = SPECS[name]
    keys = [jax.random.split(key(0, stream), SEEDS) for stream in ("backbone_init", "head_init")]
    scratch = functools.partial(scratch_variables, spec)
    # One seed after the other: all at once takes twice as long to compile.
    variables = jax.jit(lambda *keys: jax.lax.map(lambda pair: scratch(*pair), keys))(*keys)
    return {path: np.asarray(leaf, np.float64) for path, leaf in traverse_util.flatten_dict(variables, sep="/").items()}


def published_of(name: str, path: str):
    """A frozen distribution, or the constant that the leaf is."""
    patterns = {**PUBLISHED[name], **HEAD}
    found = [make for pattern, make in patterns.items() if re.fullmatch(pattern, path)]
    assert len(found) == 1, f"{path} is published {len(found)} times"
    return found[0](drawn(name)[path].shape[1:])


def deviations(samples: np.ndarray, published) -> tuple[float, float]:
    """Mean and variance, less what is published, in units of their sampling errors."""
    count, variance = samples.size, published.var()
    # Of n independent draws the variance has a relative error of sqrt((kurtosis - 1) / n).
    kurtosis = float(published.stats("k")) + 3
    mean = samples.mean() / math.sqrt(variance / count)
    return mean, (samples.var() / variance - 1) / math.sqrt((kurtosis - 1) / count)


def random_leaves(name: str) -> dict[str, tuple[np.ndarray, object]]:
    leaves = {path: (samples, published_of(name, path)) for path, samples in drawn(name).items()}
    return {path: (samples, law) for path, (samples, law) in leaves.items() if hasattr(law, "cdf")}


@pytest.mark.parametrize("name", SPECS)
def test_every_leaf_has_the_published_mean_and_variance_within_sampling_error(name):
    for path, samples in drawn(name).items():
        published = published_of(name, path)
        if hasattr(published, "cdf"):
            assert max(map(abs, deviations(samples, published))) < BOUND, path
        else:
            assert np.all(samples == published), path


@pytest.mark.parametrize("name", SPECS)
def test_every_leaf_has_the_published_shape_of_distribution(name):
    for path, (samples, published) in random_leaves(name).items():
        # Kolmogorov and Smirnov: a distance this large has a chance of one in two million.
        distance = stats.kstest(samples.ravel()[:200_000], published.cdf).statistic
        assert distance * math.sqrt(min(samples.size, 200_000)) < 2.8, path
        low, high = published.support()
        assert low - 1e-7 <= samples.min() <= samples.max() <= high + 1e-7, path


@pytest.mark.parametrize("name", SPECS)
def test_a_scale_that_is_wrong_by_five_percent_is_outside_of_the_sampling_error(name):
    for path, (samples, published) in random_leaves(name).items():
        for scale in (0.95, 1.05):
            assert max(map(abs, deviations(scale * samples, published))) > BOUND, path


@pytest.mark.parametrize("name", SPECS)
def test_no_two_leaves_and_no_two_seeds_start_alike(name):
    rows = [row.ravel() for samples, _ in random_leaves(name).values() for row in samples[:2]]
    for left, right in itertools.combinations(rows, 2):
        shared = min(left.size, right.size)
        # Values of different scales may still be multiples of each other.
        assert abs(np.corrcoef(left[:shared], right[:shared])[0, 1]) < 0.9
