"""What goes into the model, from a batch's arrays to a whole run on text."""

import json
import pathlib
import re

import flax.linen as nn
import jax
import numpy as np
import pytest

import tlj
from tlj import cli
from tlj import config as configuration
from tlj.data.augment.chain import augment
from tlj.data.augment.mix import partner_weights
from tlj.data.images import Augmentation, Preprocessing, normalise
from tlj.data.sources import open_source
from tlj.data.text import TextPreprocessing
from tlj.errors import InputError
from tlj.freezing.modes import behave_as
from tlj.pretrained.runs import read_run
from tlj.streams import key
from tlj.training.compiled import step_program
from tlj.training.inputs import evaluation_inputs, training_inputs
from tlj.training.programs import Programs
from tlj.training.setup import set_up
from tlj.training.tasks import TASKS

TEXT = {
    "model": {
        "family": "bert",
        "settings": {"vocabulary": 1000, "width": 16, "depth": 2, "heads": 2, "positions": 16},
    },
    "data": {"source": "synthetic_text:16x3"},
    "strategy": "scratch",
    "label_budget": "all",
    "steps": 150,
    "global_batch_size": 32,
    "optimizer": {"learning_rate": 1e-2, "warmup": "10 steps"},
    "log": {"every": 25},
    "evaluate": {"every": 0},
}


@pytest.fixture
def images():
    preprocessing = Preprocessing(6, (0.3,) * 3, (0.2,) * 3)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 6, 3), np.uint8)
    return {"image": pixels, "label": np.array([0, 2, 1, 2], np.int32)}, preprocessing


def text_setup(**changes):
    config = configuration.merge(configuration.merge(configuration.default(), TEXT), changes)
    return set_up(configuration.run_config(config), pathlib.Path())


def test_images_are_augmented_then_normalised_in_training(images):
    batch, preprocessing = images
    augmentation, a_key = Augmentation(shift=2), key(0, "augment")
    found = training_inputs(batch, a_key, preprocessing, augmentation, 3)
    expected = normalise(augment(batch["image"], a_key, augmentation, 6), preprocessing)
    np.testing.assert_array_equal(found.inputs, expected)
    assert np.any(found.inputs != normalise(batch["image"], preprocessing))
    np.testing.assert_array_equal(found.targets, np.eye(3)[batch["label"]])
    assert found.weight is None


def test_without_augmentation_training_compiles_to_what_evaluation_does(images):
    batch, preprocessing = images

    def training(batch, a_key):
        return training_inputs(batch, a_key, preprocessing, Augmentation(), 3)[:2]

    def evaluation(batch, _):
        return evaluation_inputs(batch, preprocessing), jax.nn.one_hot(batch["label"], 3)

    programs = [jax.jit(each).lower(batch, key(0, "augment")).compile() for each in (training, evaluation)]
    assert programs[0].cost_analysis()["flops"] == programs[1].cost_analysis()["flops"]
    jax.tree.map(np.testing.assert_array_equal, *(program(batch, key(0, "augment")) for program in programs))


def test_a_crop_knows_the_shape_that_an_image_had(images):
    batch, preprocessing = images
    augmentation, a_key = Augmentation(crop=0.2), key(0, "augment")
    aspect = np.array([0.5, 1, 2, 3], np.float32)
    batch = {**batch, "image": np.random.default_rng(0).integers(0, 256, (4, 9, 9, 3), np.uint8), "aspect": aspect}
    found = training_inputs(batch, a_key, preprocessing, augmentation, 3)
    expected = normalise(augment(batch["image"], a_key, augmentation, 6, aspect), preprocessing)
    np.testing.assert_array_equal(found.inputs, expected)
    assert found.inputs.shape == (4, 6, 6, 3)


def test_targets_and_weights_are_mixed_as_images_are(images):
    batch, preprocessing = images
    weight = np.array([0.5, 2, 1, 3], np.float32)
    augmentation, a_key = Augmentation(mixup=1.0), key(0, "augment")
    found = training_inputs({**batch, "weight": weight}, a_key, preprocessing, augmentation, 3)
    plain = normalise(batch["image"], preprocessing)
    _, share = partner_weights((4, 6, 6), a_key, augmentation)
    share = np.asarray(share)
    assert ((share > 0.001) & (share < 0.999)).any()
    blend = share[:, None, None, None]
    np.testing.assert_allclose(found.inputs, (1 - blend) * plain + blend * plain[::-1], atol=1e-5)
    np.testing.assert_allclose(found.weight, (1 - share) * weight + share * weight[::-1], rtol=1e-5)
    for index in range(4):
        expected = np.zeros(3)
        expected[batch["label"][index]] += (1 - share[index]) * weight[index]
        expected[batch["label"][3 - index]] += share[index] * weight[3 - index]
        np.testing.assert_allclose(found.targets[index], expected / expected.sum(), rtol=1e-5)


def test_mixing_changes_no_draw_of_the_other_changes(images):
    batch, preprocessing = images
    a_key = key(0, "augment")
    alone = training_inputs(batch, a_key, preprocessing, Augmentation(shift=2, flip=True), 3)
    augmentation = Augmentation(shift=2, flip=True, cutmix=1.0)
    both = training_inputs(batch, a_key, preprocessing, augmentation, 3)
    pixels, _ = partner_weights((4, 6, 6), a_key, augmentation)
    pasted = np.asarray(pixels)[..., None] == 1
    np.testing.assert_array_equal(both.inputs, np.where(pasted, alone.inputs[::-1], alone.inputs))


def test_packed_text_has_a_target_for_every_example_and_not_for_every_row():
    batch = {"input_ids": np.ones((2, 8), np.int32), "label": np.array([0, 2, 1, 1, 0]), "weight": np.ones(5, "f4")}
    found = training_inputs(batch, key(0, "augment"), TextPreprocessing(8, 10), Augmentation(), 3)
    np.testing.assert_array_equal(found.targets, np.eye(3)[batch["label"]])
    assert found.weight.shape == (5,)


def test_images_are_normalised_alone_in_evaluation(images):
    batch, preprocessing = images
    np.testing.assert_array_equal(evaluation_inputs(batch, preprocessing), normalise(batch["image"], preprocessing))


@pytest.mark.parametrize("types", [False, True])
def test_text_goes_in_as_it_is_without_labels(types):
    source = open_source("synthetic_text:16x3")
    batch = source.batch(np.arange(4))
    if types:
        batch["token_type_ids"] = np.ones((4, 16), np.int32)
    wanted = {name: array for name, array in batch.items() if name != "label"}
    for found in (
        evaluation_inputs(batch, source.preprocessing),
        training_inputs(batch, key(0, "augment"), source.preprocessing, Augmentation(), 3).inputs,
    ):
        assert found.keys() == wanted.keys()
        jax.tree.map(np.testing.assert_array_equal, found, wanted)


@pytest.mark.parametrize("padding", [0, 7])
def test_text_without_a_mask_gets_one_from_the_padding(padding):
    ids = np.array([[3, 7, 7], [3, 0, 5]], np.int32)
    found = evaluation_inputs({"input_ids": ids}, TextPreprocessing(3, 10, padding))
    assert found.keys() == {"input_ids", "attention_mask"}
    np.testing.assert_array_equal(found["attention_mask"], ids != padding)
    assert found["attention_mask"].dtype == np.int32


def test_a_model_of_text_has_the_classes_of_the_data_and_the_sizes_of_the_config():
    setup = text_setup()
    assert (setup.spec.num_classes, setup.spec.vocabulary, setup.spec.positions) == (3, 1000, 16)
    assert setup.preprocessing == TextPreprocessing(16, 1000)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": {"source": "digits"}}, "config.model.family: bert takes text"),
        ({"data": {"source": "digits"}}, "digits holds images; use vit or resnet, or other data"),
        ({"model": {"family": "vit"}}, "vit takes images, synthetic_text:16x3 holds text; use bert, or other data"),
        ({"data": {"source": "synthetic_text:17x3"}}, "the model has 16 positions, a sequence of the data 17 tokens"),
        ({"model": {"settings": {"vocabulary": 999}}}, "the model knows 999 token ids, the data has 1000"),
    ],
)
def test_data_that_does_not_go_into_the_model_is_refused(changes, message):
    with pytest.raises(InputError, match=re.escape(message)):
        text_setup(**changes)


@pytest.fixture(scope="module")
def text_run(tmp_path_factory):
    """A tiny BERT, trained from the command line."""
    folder = tmp_path_factory.mktemp("text")
    file = folder / "config.py"
    file.write_text(f"def get_config(arg=None):\n    return {TEXT!r}\n")
    assert cli.main(["train", f"--config={file}", f"--workdir={folder}/run"]) == 0
    return folder / "run"


def test_a_tiny_bert_learns_synthetic_text(text_run):
    rows = [json.loads(line) for line in (text_run / "metrics.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in rows if "loss" in row]
    assert losses[0] > 0.8
    assert losses[-1] < 0.3
    accuracy = json.loads((text_run / "summary.json").read_text())["metrics"]["test_accuracy"]
    assert accuracy > 0.8


def test_a_run_on_text_is_a_source_with_the_preprocessing_of_text(text_run):
    source = read_run(text_run)
    assert source.preprocessing == TextPreprocessing(16, 1000)
    assert source.spec == text_setup().spec


def test_a_source_of_text_takes_shorter_text_and_keeps_its_vocabulary(text_run):
    changes = {"model": {"source": str(text_run), "settings": {}}, "strategy": "full"}
    setup = text_setup(**changes, data={"source": "synthetic_text:8x2"})
    assert setup.preprocessing == TextPreprocessing(8, 1000)
    assert setup.spec.num_classes == 2
    with pytest.raises(InputError, match="16 positions, a sequence of the data 17 tokens"):
        text_setup(**changes, data={"source": "synthetic_text:17x2"})


def test_a_loaded_bert_is_called_with_a_dict_of_token_ids(text_run):
    model, data = tlj.load(text_run), open_source("synthetic_text:16x3")
    batch = data.batch(np.arange(64))
    labels = batch.pop("label")
    logits = model(batch)
    assert logits.shape == (64, 3)
    assert (logits.argmax(-1) == labels).mean() > 0.8


def active_dropouts(strategy: str) -> set[str]:
    """The parts of the backbone in which dropout is on when a strategy trains from scratch."""
    setup, found = text_setup(strategy=strategy, init="scratch"), set()
    batch = setup.source.batch(np.arange(2))

    def record(next_call, args, kwargs, context):
        if isinstance(context.module, nn.Dropout) and context.module.rate and not kwargs["deterministic"]:
            found.add("/".join(context.module.path[1:-1]) or "features")
        return next_call(*args, **kwargs)

    def forward(inputs):
        keys = {"params": key(0, "backbone_init"), "dropout": key(0, "dropout")}
        with behave_as(setup.phases[0]), nn.intercept_methods(record):
            return setup.module.init_with_output(keys, inputs, train=True)[0]

    jax.eval_shape(forward, evaluation_inputs(batch, setup.preprocessing))
    return found


def test_dropout_of_text_is_off_where_nothing_trains():
    top = {"block1", "block1/attention", "features"}
    assert active_dropouts("full") == top | {"embedding", "block0", "block0/attention"}
    assert active_dropouts("last_blocks:1") == top
    assert active_dropouts("linear_probe") == {"features"}


def test_a_probe_on_text_costs_a_third_of_full_training():
    flops = {}
    for strategy in ("full", "linear_probe"):
        settings = {"width": 64, "dropout": 0.0, "attention_dropout": 0.0}
        setup = text_setup(strategy=strategy, init="scratch", model={"settings": settings})
        flops[strategy] = step_program(setup, setup.phases[0], Programs())[0].flops
    assert flops["linear_probe"] / flops["full"] == pytest.approx(1 / 3, abs=0.05)


@pytest.mark.parametrize(("task", "label", "outputs"), [("binary", [0, 1, 1, 0], 1), ("multilabel", np.eye(4, 3), 3)])
def test_targets_of_other_tasks_are_mixed_with_their_partners(images, task, label, outputs):
    batch, preprocessing = images
    batch = {**batch, "label": np.asarray(label, np.int8)}
    augmentation, a_key = Augmentation(mixup=0.5), key(0, "augment")
    found = training_inputs(batch, a_key, preprocessing, augmentation, outputs, task=TASKS[task])
    own = np.asarray(batch["label"], np.float32).reshape(4, outputs)
    _, share = partner_weights((4, 6, 6), a_key, augmentation)
    share = np.asarray(share)[:, None]
    np.testing.assert_allclose(found.targets, (1 - share) * own + share * own[::-1], rtol=1e-6)


def test_a_number_is_its_own_target(images):
    batch, preprocessing = images
    batch = {**batch, "label": np.array([0.5, -1, 2, 0], np.float32)}
    found = training_inputs(batch, key(0, "augment"), preprocessing, Augmentation(), 1, task=TASKS["regression"])
    np.testing.assert_array_equal(found.targets, batch["label"][:, None])
