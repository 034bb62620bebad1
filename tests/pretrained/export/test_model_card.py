"""The model card."""

import dataclasses
import re

import pytest
import yaml

import tlj
from tlj.pretrained.export.model_card import model_card
from tlj.pretrained.load_report import LoadedLeaf, LoadReport


def front_matter(card):
    return yaml.safe_load(card.split("---\n")[1])


@pytest.mark.parametrize(
    ("name", "format", "library", "task"),
    [
        ("vit_gelu", "huggingface", "transformers", "image-classification"),
        ("vit_headless", "stablehlo", "jax", "image-feature-extraction"),
        ("resnet_basic", "torch", "tlj", "image-classification"),
        ("bert_gelu", "huggingface", "transformers", "text-classification"),
        ("bert_headless", "huggingface", "transformers", "feature-extraction"),
    ],
)
def test_the_front_matter_says_what_it_is_and_leaves_the_license_to_the_user(name, format, library, task, load_golden):
    card = model_card(load_golden(name), format)
    told = front_matter(card)
    assert (told["library_name"], told["pipeline_tag"]) == (library, task)
    assert "license" not in told
    assert "No license is given: add one" in card


def test_a_run_has_its_figures_in_the_card(vit_run):
    card = model_card(tlj.load(vit_run), "huggingface")
    assert re.search(r"## How it was made\n\n- Strategy `scratch`", card)
    assert re.search(r"## Figures\n\n- Test accuracy \d", card)
    assert str(vit_run) not in card
    assert str(vit_run.parent) not in card


def test_what_is_no_run_has_what_the_load_says(load_golden):
    model = load_golden("vit_headless")
    card = model_card(model, "huggingface")
    assert f"content hash `{model.identity}`" in card
    assert f"What became of it: {model.report}." in card
    assert "## Figures" not in card
    assert str(tlj.__path__[0]).rpartition("/")[0] not in card


def test_what_the_model_did_not_take_is_said_to_be_missing(load_golden):
    left_out = model_card(load_golden("vit_headless"), "huggingface").partition("## What is not in it")[2]
    assert "`pooler.dense.bias`, `pooler.dense.weight`: `the model pools otherwise`." in left_out


def test_a_head_that_started_anew_is_said_to_be_untrained(vit_run):
    left_out = model_card(tlj.load(vit_run, num_classes=3), "huggingface").partition("## What is not in it")[2]
    assert "Values that were trained for `params/head/bias`, `params/head/kernel`: these started anew." in left_out


def test_names_of_classes_are_shown_as_they_are_and_do_nothing(load_golden):
    names = ("<img src=x onerror=alert(1)>", "[a](http://b)", "`c`\n# d")
    card = model_card(dataclasses.replace(load_golden("vit_gelu"), classes=names), "huggingface")
    classes = card.partition("## Classes\n\n")[2].partition("\n\n")[0]
    assert classes.splitlines() == [
        "0. `<img src=x onerror=alert(1)>`",
        "1. `[a](http://b)`",
        "2. `` `c` # d ``",
    ]


def test_of_many_classes_the_first_are_shown(load_golden):
    names = tuple(f"class {number}" for number in range(1000))
    card = model_card(dataclasses.replace(load_golden("vit_gelu"), classes=names), "huggingface")
    assert "19. `class 19`\n\nand 980 more." in card
    assert "class 20" not in card


def test_names_of_arrays_from_a_file_do_nothing(load_golden):
    row = LoadedLeaf("", "ignored", "<b>|x", (1,), "", "")
    model = dataclasses.replace(load_golden("vit_gelu"), report=LoadReport((row,)))
    assert "- `<b>|x`: `not part of the model`." in model_card(model, "huggingface")


@pytest.mark.parametrize(
    ("name", "format", "use"),
    [
        ("vit_gelu", "huggingface", 'ViTForImageClassification.from_pretrained("DIRECTORY")'),
        ("vit_gelu", "huggingface", 'AutoImageProcessor.from_pretrained("DIRECTORY")'),
        ("bert_gelu", "huggingface", 'AutoTokenizer.from_pretrained("DIRECTORY")'),
        ("bert_headless", "huggingface", 'BertModel.from_pretrained("DIRECTORY")'),
        ("resnet_basic", "torch", 'tlj.load("DIRECTORY")'),
        ("vit_gelu", "stablehlo", "python example.py cat.jpg"),
        ("bert_gelu", "stablehlo", 'python example.py "A sentence."'),
        ("bert_gelu_new", "stablehlo", 'python example.py "2 5 6 3"'),
    ],
)
def test_the_card_says_how_the_model_is_used(name, format, use, load_golden):
    assert use in model_card(load_golden(name), format).partition("## Use")[2]


def test_the_card_of_torch_names_does_not_send_anybody_to_transformers(load_golden):
    assert "from_pretrained" not in model_card(load_golden("resnet_basic"), "torch")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "resized (bilinear) to 16x16 pixels"),
        ({"resize_to": 20}, "resized (bilinear) the shorter edge to 20 pixels, the middle 16x16 of them"),
        ({"resize_to": 20, "keep_aspect": False}, "both edges to 20 pixels, the middle 16x16 of them"),
    ],
)
def test_the_card_says_what_goes_in(changes, said, load_golden):
    model = load_golden("vit_gelu")
    model = dataclasses.replace(model, preprocessing=dataclasses.replace(model.preprocessing, **changes))
    assert said in model_card(model, "huggingface")
