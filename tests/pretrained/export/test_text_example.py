"""The example of a program's use on text: it pads and cuts as the model's text was."""

import numpy as np
import pytest

from tlj.pretrained.export import text_example


@pytest.fixture
def told(monkeypatch):
    names = ("input_ids", "attention_mask", "token_type_ids")
    content = {
        "tokenizer": None,
        "preprocessing": {"length": 4, "padding": 9},
        "inputs": [{"name": name} for name in names],
        "num_classes": 2,
        "classes": ["a", "b"],
    }
    monkeypatch.setattr(text_example, "model", lambda: content)
    return content


def test_sentences_are_padded_to_the_longest_and_cut_at_the_length(told):
    ids, mask, types = text_example.inputs(["1 2", "1 2 3 4 5 6"])
    np.testing.assert_array_equal(ids, [[1, 2, 9, 9], [1, 2, 3, 4]])
    np.testing.assert_array_equal(mask, [[1, 1, 0, 0], [1, 1, 1, 1]])
    np.testing.assert_array_equal(types, np.zeros((2, 4)))
    assert ids.dtype == mask.dtype == types.dtype == np.int32


def test_inputs_come_in_the_order_of_the_program(told):
    told["inputs"].reverse()
    assert text_example.inputs(["1 2"])[2].tolist() == [[1, 2]]


def test_classes_are_named_the_likeliest_first(told):
    assert text_example.described(np.array([0.0, np.log(3)], np.float32)) == "b 75.0%, a 25.0%"
