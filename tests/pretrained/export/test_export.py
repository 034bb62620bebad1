"""``tlj.export``."""

import dataclasses
import os

import numpy as np
import pytest

import tlj
from tlj.errors import InputError
from tlj.pretrained.export.export import FORMATS, check_export


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_writes_a_card_beside_the_model(format, load_golden, tmp_path):
    files = tlj.export(load_golden("resnet_basic"), tmp_path / "out", format)
    assert sorted(file.name for file in files) == sorted(os.listdir(tmp_path / "out"))
    assert (tmp_path / "out" / "README.md").read_text(encoding="utf-8").startswith("---\n")


def test_a_format_that_does_not_exist_is_refused_with_the_nearest(load_golden, tmp_path):
    with pytest.raises(InputError, match="unknown format 'stablehl'; did you mean 'stablehlo'?"):
        tlj.export(load_golden("vit_gelu"), tmp_path / "out", "stablehl")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_with_something_in_it_is_refused_before_there_is_a_model(tmp_path):
    (tmp_path / "kept").write_text("")
    with pytest.raises(InputError, match="is not empty"):
        check_export(tmp_path, "huggingface")


@pytest.mark.parametrize("format", ["huggingface", "stablehlo"])
def test_weights_that_diverged_are_refused(format, load_golden, tmp_path):
    model = load_golden("vit_gelu")
    head = {**model.variables["params"]["head"], "bias": np.array([0, np.nan, 0], np.float32)}
    model.variables["params"]["head"] = head
    with pytest.raises(InputError, match="params/head/bias: numbers that are NaN or infinite"):
        tlj.export(model, tmp_path / "out", format)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_travels_cannot_climb_out_of_the_directory(load_golden, tmp_path):
    (tmp_path / "vocab.txt").write_text("x")
    model = load_golden("bert_gelu_new")
    model = dataclasses.replace(model, files={"../climbed.txt": tmp_path / "vocab.txt"})
    with pytest.raises(InputError, match="climbs out of"):
        tlj.export(model, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["vocab.txt"]


def test_a_head_of_several_layers_has_no_place_in_the_layouts_of_others(load_golden, tmp_path):
    model = load_golden("vit_gelu")
    deep = dataclasses.replace(model, spec=dataclasses.replace(model.spec, head_layers=(4,)))
    with pytest.raises(InputError, match="a head of 2 layers has no place in the huggingface layout"):
        tlj.export(deep, tmp_path / "out", "huggingface")
    assert list(tmp_path.iterdir()) == []
