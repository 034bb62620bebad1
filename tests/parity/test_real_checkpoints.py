"""Real checkpoints give the hidden states and the accuracy that PyTorch gives with them."""

import io
import pathlib

import jax
import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image

import tlj
from tlj.data.images import normalise

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "minilm_sentences.npz"


@pytest.fixture(scope="module")
def sentences():
    """20 sentences in one padded batch, and what transformers' BertModel makes of them."""
    with np.load(GOLDEN) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def minilm(shared_data):
    """all-MiniLM-L6-v2, loaded."""
    return tlj.load(shared_data("pretrained/all-MiniLM-L6-v2"))


@pytest.fixture(scope="module")
def batch(sentences):
    """The batch as the model takes it."""
    return {name: sentences[name] for name in ("input_ids", "attention_mask")}


def test_the_sentences_are_of_different_lengths(sentences):
    lengths = sentences["attention_mask"].sum(axis=1)
    assert len(lengths) == 20
    assert len(set(lengths.tolist())) >= 15
    assert lengths.min() <= 4
    assert lengths.max() == sentences["input_ids"].shape[1]


def test_every_hidden_state_of_minilm_is_that_of_transformers(minilm, batch, sentences, difference):
    states = minilm.hidden_states(batch)
    real = sentences["attention_mask"][..., None]
    for name in ["embedding", *(f"block{i}" for i in range(6))]:
        state = np.asarray(states[name])
        assert difference(state[:, 0], sentences[f"first/{name}"]) <= 1e-4, name
        channels = state[:, :, sentences["chosen"]] * real
        assert difference(channels, sentences[f"channels/{name}"]) <= 1e-4, name


def test_minilm_pools_as_the_original_class_unless_told_otherwise(minilm, batch, sentences, shared_data, difference):
    assert difference(minilm(batch), sentences["pooled"]) <= 1e-4
    mean = tlj.load(shared_data("pretrained/all-MiniLM-L6-v2"), pool="mean")
    assert difference(mean(batch), sentences["mean"]) <= 1e-4


def test_the_tokenizer_of_minilm_makes_the_tokens_of_the_batch(minilm, sentences):
    tokens = minilm.tokenizer(list(sentences["sentences"]), padding="longest")
    np.testing.assert_array_equal(tokens["input_ids"], sentences["input_ids"])
    np.testing.assert_array_equal(tokens["attention_mask"], sentences["attention_mask"])


@pytest.fixture
def all_optimizations():
    """Ten thousand images are worth what LLVM spends on the program."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.usefixtures("all_optimizations")
def test_resnet20_reaches_its_published_accuracy(shared_data):
    model = tlj.load(shared_data("pretrained/resnet20-cifar10"))
    table = pyarrow.parquet.read_table(shared_data("data/cifar10-jpeg/test.parquet"))
    labels = np.asarray(table["label"])
    encoded = [row["bytes"] for row in table["image"].to_pylist()]
    images = np.stack([np.asarray(Image.open(io.BytesIO(one)).convert("RGB")) for one in encoded])
    batches = range(0, len(images), 500)
    predicted = [np.argmax(model(normalise(images[i : i + 500], model.preprocessing)), axis=-1) for i in batches]
    accuracy = 100 * np.mean(np.concatenate(predicted) == labels)
    print(f"figure: accuracy {accuracy:.2f} %")
    assert abs(accuracy - 81.03) <= 0.05
