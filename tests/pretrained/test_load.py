"""``tlj.load``."""

import jax
import numpy as np
import pyarrow.parquet as pq
import pytest

import tlj
from tlj.data.images import normalise
from tlj.data.sources import open_source
from tlj.errors import InputError
from tlj.freezing.digests import leaf_digests
from tlj.models.registry import build
from tlj.pretrained.runs import read_variables
from tlj.training.programs import count_compilations


@pytest.fixture(scope="module")
def images():
    source = open_source("digits:5-9")
    return np.asarray(normalise(source.images[:6], source.preprocessing))


def test_logits_are_those_of_the_run_s_own_parameters(run_directory, images):
    model = tlj.load(run_directory)
    variables, _ = read_variables(run_directory)
    expected = jax.jit(build(model.spec).apply)(variables, images)
    np.testing.assert_array_equal(model(images), expected)
    assert leaf_digests(model.variables) == leaf_digests(variables)
    assert {leaf.status for leaf in model.report.leaves} == {"loaded"}


def test_logits_are_those_that_the_run_wrote_of_its_test_examples(run_directory):
    table = pq.read_table(run_directory / "predictions.parquet").slice(length=50).to_pylist()
    source, model = open_source("digits:0-4"), tlj.load(run_directory)
    where = [source.ids.index(row["id"]) for row in table]
    logits = model(normalise(source.images[where], model.preprocessing))
    np.testing.assert_allclose(logits, [row["logits"] for row in table], rtol=1e-4, atol=1e-5)


def test_a_number_of_classes_makes_a_new_head_and_keeps_the_backbone(run_directory, images):
    own, model = tlj.load(run_directory), tlj.load(run_directory, num_classes=3)
    assert model.spec.num_classes == 3
    assert model(images).shape == (6, 3)
    assert leaf_digests(model.variables["params"]["backbone"]) == leaf_digests(own.variables["params"]["backbone"])
    assert leaf_digests(model.variables["batch_stats"]) == leaf_digests(own.variables["batch_stats"])
    reset = {leaf.path for leaf in model.report.leaves if leaf.status == "reset"}
    assert reset == {"params/head/kernel", "params/head/bias"}


def test_the_source_s_own_number_of_classes_makes_a_new_head_too(vit_run):
    own, model = tlj.load(vit_run), tlj.load(vit_run, num_classes=5)
    assert not np.array_equal(own.variables["params"]["head"]["kernel"], model.variables["params"]["head"]["kernel"])


@pytest.mark.parametrize("init", ["scratch", "mean_var"])
def test_a_twin_has_the_architecture_the_preprocessing_and_the_head_but_not_the_values(run_directory, init):
    model, twin = tlj.load(run_directory, num_classes=3), tlj.load(run_directory, init=init, num_classes=3)
    assert twin.spec == model.spec
    assert twin.preprocessing == model.preprocessing
    assert jax.tree.map(np.shape, twin.variables) == jax.tree.map(np.shape, model.variables)
    assert leaf_digests(twin.variables["params"]["head"]) == leaf_digests(model.variables["params"]["head"])
    ours, theirs = (
        leaf_digests(twin.variables["params"]["backbone"]),
        leaf_digests(model.variables["params"]["backbone"]),
    )
    assert not [path for path in ours if path.endswith("kernel") and ours[path] == theirs[path]]


def test_a_twin_can_be_called(vit_run, images):
    logits = [np.asarray(tlj.load(vit_run, init=init)(images)) for init in ("scratch", "mean_var", "pretrained")]
    assert all(values.shape == (6, 5) and np.all(np.isfinite(values)) for values in logits)
    assert not np.allclose(logits[0], logits[1])
    assert not np.allclose(logits[0], logits[2])


def test_a_seed_chooses_the_twin(vit_run):
    first, again, other = (leaf_digests(tlj.load(vit_run, init="scratch", seed=seed).variables) for seed in (0, 0, 1))
    assert first == again != other


def test_a_model_may_compute_in_bfloat16_on_float32_parameters(vit_run, images):
    model = tlj.load(vit_run, dtype="bfloat16")
    assert {leaf.dtype for leaf in jax.tree.leaves(model.variables)} == {np.dtype("float32")}
    logits = model(images)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, tlj.load(vit_run)(images), atol=0.03)


def test_a_model_is_in_evaluation_mode(resnet_run, images):
    model = tlj.load(resnet_run)
    np.testing.assert_allclose(model(images)[:2], model(images[:2]), rtol=1e-5, atol=1e-6)


def test_a_model_that_is_called_again_compiles_nothing(vit_run, images):
    model = tlj.load(vit_run)
    model(images)
    with count_compilations() as compilations:
        model(images)
    assert not compilations


def test_a_path_may_be_text(vit_run):
    assert leaf_digests(tlj.load(str(vit_run)).variables) == leaf_digests(tlj.load(vit_run).variables)


def test_a_source_or_an_init_that_does_not_exist_is_refused(vit_run, tmp_path):
    with pytest.raises(InputError, match="nothing here"):
        tlj.load(tmp_path / "nothing")
    with pytest.raises(InputError, match="unknown init 'meanvar'; did you mean 'mean_var'"):
        tlj.load(vit_run, init="meanvar")


def test_no_classes_are_no_number_of_classes(vit_run):
    with pytest.raises(InputError):
        tlj.load(vit_run, num_classes=0)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (dict(num_classes=0), "num_classes = 0"),
        (dict(num_classes="5"), "num_classes = '5'"),
        (dict(num_classes=2.5), "num_classes = 2.5"),
        (dict(num_classes=True), "num_classes = True"),
        (dict(dtype="bfloat61"), "unknown dtype 'bfloat61'; did you mean 'bfloat16'"),
        (dict(dtype="int32"), "unknown dtype 'int32'"),
        (dict(allow_missing="head.*"), "allow_missing = 'head.*' is not a list"),
    ],
)
def test_an_argument_that_cannot_be_is_refused(run_directory, arguments, told):
    with pytest.raises(InputError) as caught:
        tlj.load(run_directory, **arguments)
    assert told in str(caught.value)
