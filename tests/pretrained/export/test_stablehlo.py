"""A program that runs without tlj: what it gives where nothing of tlj can be imported is what the model gives."""

import json
import os
import subprocess
import sys

import jax
import numpy as np
import PIL.Image
import pytest
from flax import traverse_util
from safetensors.numpy import load_file

import tlj
from tlj.data.images import normalise
from tlj.data.resize import resize_image
from tlj.pretrained.export.export import export
from tlj.pretrained.export.stablehlo import exported_program

# Python runs a file of this name when it starts.
ALONE = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("tlj", "flax", "torch", "transformers", "orbax"):
            raise ModuleNotFoundError(f"{name} is not for this test")

sys.meta_path.insert(0, Absent())
"""
# Runs the example on a part of what it gets and on all of it, and keeps the logits.
PROGRAM = """
import sys
import numpy as np
sys.path.insert(0, sys.argv[1])
try:
    import tlj
except ModuleNotFoundError:
    import example
    np.savez(sys.argv[2], first=example.logits(sys.argv[3:4]), all=example.logits(sys.argv[3:]))
"""


def flat(model):
    return traverse_util.flatten_dict(model.variables, sep="/")


@pytest.fixture(scope="module")
def run_alone(tmp_path_factory):
    """Runs Python with words in a directory, where neither tlj nor what it is made of can be imported."""
    folder = tmp_path_factory.mktemp("alone")
    (folder / "sitecustomize.py").write_text(ALONE)
    environment = {**os.environ, "PYTHONPATH": str(folder), "JAX_PLATFORMS": "cpu"}

    def run(*words):
        words = [sys.executable, *map(str, words)]
        done = subprocess.run(words, capture_output=True, text=True, cwd=folder, env=environment, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Files of pictures of several sizes and modes."""
    folder, draws = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    arrays = [draws.integers(0, 256, shape, np.uint8) for shape in ((40, 31, 3), (17, 29, 3), (64, 64, 4))]
    files = [folder / f"{number}.png" for number in range(len(arrays))]
    for file, array in zip(files, arrays, strict=True):
        PIL.Image.fromarray(array).save(file)
    return files


@pytest.mark.parametrize("name", ["vit_gelu", "resnet_bottleneck"])
def test_images_get_the_logits_of_the_model_in_any_number(name, load_golden, pictures, run_alone, tmp_path):
    model = load_golden(name)
    export(model, tmp_path / "out", "stablehlo")
    run_alone("-c", PROGRAM, tmp_path / "out", tmp_path / "logits.npz", *pictures)
    images = np.stack([resize_image(PIL.Image.open(file), model.preprocessing) for file in pictures])
    expected = np.asarray(model(normalise(images, model.preprocessing)))
    found = np.load(tmp_path / "logits.npz")
    assert (found["first"].shape, found["all"].shape) == ((1, 3), (3, 3))
    np.testing.assert_allclose(found["all"], expected, atol=1e-5, rtol=0)
    np.testing.assert_allclose(found["first"], expected[:1], atol=1e-5, rtol=0)
    assert np.ptp(expected, axis=0).max() > 1e-3


def test_sentences_get_the_logits_of_the_model_at_any_length(load_golden, run_alone, tmp_path):
    model, sentences = load_golden("bert_gelu"), ["A cat.", "the big ant sat on", "bees flew under " * 9]
    export(model, tmp_path / "out", "stablehlo")
    run_alone("-c", PROGRAM, tmp_path / "out", tmp_path / "logits.npz", *sentences)
    tokens = dict(model.tokenizer(sentences, padding=True, truncation=True, max_length=12, return_tensors="np"))
    assert tokens["attention_mask"].sum(axis=1).tolist() == [5, 7, 12]
    expected, found = np.asarray(model(tokens)), np.load(tmp_path / "logits.npz")
    np.testing.assert_allclose(found["all"], expected, atol=1e-5, rtol=0)
    np.testing.assert_allclose(found["first"], expected[:1], atol=1e-5, rtol=0)


def test_the_example_prints_the_likeliest_classes_by_name(load_golden, pictures, run_alone, tmp_path):
    model = load_golden("vit_gelu")
    export(model, tmp_path / "out", "stablehlo")
    line = run_alone(tmp_path / "out" / "example.py", pictures[0]).strip()
    image = resize_image(PIL.Image.open(pictures[0]), model.preprocessing)
    shares = np.asarray(jax.nn.softmax(model(normalise(image[None], model.preprocessing))))[0]
    best = [f"{model.classes[number]} {shares[number]:.1%}" for number in np.argsort(-shares)]
    assert line == f"{pictures[0]}: {', '.join(best)}"


def test_text_without_a_tokenizer_is_given_as_ids(load_golden, run_alone, tmp_path):
    model = load_golden("bert_gelu_new")
    export(model, tmp_path / "out", "stablehlo")
    assert not (tmp_path / "out" / "tokenizer.json").exists()
    run_alone("-c", PROGRAM, tmp_path / "out", tmp_path / "logits.npz", "2 7 3", "2 7 9 9 3")
    ids = {"input_ids": np.array([[2, 7, 3]]), "attention_mask": np.ones((1, 3), int)}
    np.testing.assert_allclose(np.load(tmp_path / "logits.npz")["first"], np.asarray(model(ids)), atol=1e-5, rtol=0)


def test_a_model_without_a_head_gives_its_features(load_golden, pictures, run_alone, tmp_path):
    export(load_golden("vit_headless"), tmp_path / "out", "stablehlo")
    assert "16 features: " in run_alone(tmp_path / "out" / "example.py", pictures[0])


def test_the_program_is_for_every_kind_of_device_and_any_batch(load_golden, tmp_path):
    export(load_golden("vit_gelu"), tmp_path / "out", "stablehlo")
    program = jax.export.deserialize(bytearray((tmp_path / "out" / "program.jax_export").read_bytes()))
    assert program.platforms == ("cpu", "cuda", "tpu")
    assert str(program.in_avals[-1]) == "uint8[batch,16,16,3]"


def test_text_beyond_the_positions_is_refused(load_golden):
    model = load_golden("bert_gelu")
    too_long = [np.zeros((1, model.spec.positions + 1), np.int32)] * 3
    with pytest.raises(ValueError, match="length <= 12"):
        exported_program(model).call(flat(model), *too_long)


def test_weights_are_arguments_and_no_part_of_the_program(load_golden):
    model = load_golden("vit_gelu")
    program, weights, image = exported_program(model), flat(model), np.zeros((1, 16, 16, 3), np.uint8)
    changed = {**weights, "params/head/bias": weights["params/head/bias"] + 1}
    before, after = (np.asarray(program.call(w, image)) for w in (weights, changed))
    np.testing.assert_allclose(after, before + 1, atol=1e-6)


def test_nothing_tells_where_it_was_made(load_golden):
    before = jax.config.jax_hlo_source_file_canonicalization_regex
    written = exported_program(load_golden("bert_gelu")).serialize()
    assert os.path.dirname(tlj.__file__).encode() not in bytes(written)
    assert os.path.dirname(jax.__file__).encode() not in bytes(written)
    assert jax.config.jax_hlo_source_file_canonicalization_regex == before


def test_what_is_to_be_known_of_it_is_beside_it(load_golden, tmp_path):
    model = load_golden("bert_gelu")
    export(model, tmp_path / "out", "stablehlo")
    told = json.loads((tmp_path / "out" / "model.json").read_text())
    assert told["classes"] == ["ant", "bee", "cat"]
    assert [one["name"] for one in told["inputs"]] == ["input_ids", "attention_mask", "token_type_ids"]
    assert told["inputs"][0] == {"name": "input_ids", "shape": ["batch", "length"], "dtype": "int32"}
    assert told["output"] == {"name": "logits", "shape": ["batch", 3], "dtype": "float32"}
    assert told["preprocessing"]["length"] == 12
    assert told["versions"]["tlj"] == tlj.__version__
    assert told["weights"]["names"] == list(load_file(tmp_path / "out" / "weights.safetensors"))
    assert set(told["weights"]["names"]) == set(flat(model))
