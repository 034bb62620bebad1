"""Reading a directory in the Hugging Face layout."""

import dataclasses
import json
import shutil
import warnings

import numpy as np
import pytest

import tlj
from tlj.errors import InputError
from tlj.pretrained.formats.checkpoint import assemble
from tlj.pretrained.formats.huggingface.read import read_huggingface
from tlj.pretrained.overrides import Overrides
from tlj.pretrained.source import PretrainedSource

KINDS = ("vit", "resnet", "bert")


def read(directory, **chosen):
    return read_huggingface(directory, Overrides(chosen))


def source(directory, allow_missing=(), **chosen) -> PretrainedSource:
    return assemble(read(directory, **chosen), allow_missing)


@pytest.mark.parametrize("layout", ["torch", "flax"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_is_read_with_every_array_at_its_leaf(tmp_path, tiny, kind, layout):
    spec = tiny.specs[kind]
    found = source(tiny.write(tmp_path, spec, layout=layout))
    assert found.spec == spec
    assert found.classes == ()
    assert not found.ignored
    assert not found.reset
    # Both layouts are written from the same draws, so both have to give the same leaves.
    other = source(tiny.write(tmp_path / "other", spec))
    for path, leaf in found.leaves.items():
        np.testing.assert_array_equal(leaf.read(), other.leaves[path].read())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("prefix", ["", "{}.", "module.{}."])
def test_any_prefix_gives_the_same_model(tmp_path, tiny, kind, prefix):
    spec, prefix = tiny.specs[kind], prefix.format(kind)
    outer = "module." if prefix.startswith("module.") else ""
    arrays = {
        outer + name if name.startswith("classifier") else name: array
        for name, array in tiny.arrays(spec, prefix).items()
    }
    found = source(tiny.write(tmp_path, spec, arrays))
    assert found.spec == spec
    assert (
        prefix
        in found.leaves["params/backbone/block0/" + ("conv0/conv" if kind == "resnet" else "mlp/up") + "/kernel"].names[
            0
        ]
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_without_a_head_has_no_classes(tmp_path, tiny, kind):
    spec = dataclasses.replace(tiny.specs[kind], num_classes=0)
    found = source(tiny.write(tmp_path, spec))
    assert found.spec.num_classes == 0
    assert found.classes == ()
    assert not any(path.startswith("params/head") for path in found.leaves)


@pytest.mark.parametrize("kind", KINDS)
def test_the_head_decides_the_number_of_classes(tmp_path, tiny, kind):
    found = source(tiny.write(tmp_path, tiny.specs[kind], id2label={"0": "yes", "1": "no"}))
    assert found.spec.num_classes == 3
    assert found.classes == ()


def test_names_of_classes_are_read_in_the_order_of_their_numbers(tmp_path, tiny):
    found = read(tiny.write(tmp_path, tiny.specs["vit"], id2label={"2": "cat", "0": "ant", "1": "bee"}))
    assert found.classes == ("ant", "bee", "cat")


@pytest.mark.parametrize("kind", KINDS)
def test_a_classifier_whose_head_is_gone_is_refused_unless_it_may_be_missing(tmp_path, tiny, kind):
    arrays = {name: array for name, array in tiny.arrays(tiny.specs[kind]).items() if "classifier" not in name}
    directory = tiny.write(tmp_path, tiny.specs[kind], arrays)
    with pytest.raises(InputError, match=r"missing classifier.*bias.*missing classifier.*weight"):
        source(directory)
    assert source(directory, allow_missing=["head/.*", "params/head/.*"]).reset == {
        "params/head/kernel",
        "params/head/bias",
    }


@pytest.mark.parametrize(("told", "classes"), [({}, 2), ({"num_labels": 5}, 5), ({"id2label": {"0": "a"}}, 1)])
def test_a_head_that_is_gone_has_as_many_classes_as_transformers_gives_it(tmp_path, tiny, told, classes):
    directory = tiny.write(tmp_path, dataclasses.replace(tiny.specs["bert"], num_classes=0))
    file = directory / "config.json"
    config = json.loads(file.read_text()) | {"architectures": ["BertForSequenceClassification"], **told}
    file.write_text(json.dumps(config))
    assert source(directory, ["classifier.*"]).spec.num_classes == classes
    file.write_text(json.dumps({**config, "id2label": None, "num_labels": "five"}))
    with pytest.raises(InputError, match="num_labels = 'five' is not a number of classes"):
        source(directory, ["classifier.*"])


@pytest.mark.parametrize("architecture", ["BertForTokenClassification", "BertForMultipleChoice"])
def test_a_head_of_another_kind_is_no_classification_head(tmp_path, tiny, architecture):
    found = source(tiny.write(tmp_path, tiny.specs["bert"], architectures=[architecture]))
    assert found.spec.num_classes == 0
    assert {leaf.names[0]: leaf.note for leaf in found.ignored} == {
        "classifier.weight": f"the head of {architecture}",
        "classifier.bias": f"the head of {architecture}",
    }


@pytest.mark.parametrize(
    ("kind", "extra", "reason"),
    [
        ("bert", "cls.predictions.bias", "a head of pretraining"),
        ("bert", "qa_outputs.weight", "a head that answers questions"),
        ("bert", "bert.embeddings.position_ids", "a constant"),
        ("vit", "vit.embeddings.mask_token", "only masked image modelling uses it"),
        ("vit", "decoder.0.weight", "the decoder of masked image modelling"),
        ("vit", "vit.pooler.dense.weight", "the model pools otherwise"),
        ("resnet", "resnet.embedder.embedder.normalization.num_batches_tracked", "a count"),
    ],
)
def test_what_the_model_does_not_take_is_ignored_with_a_reason(tmp_path, tiny, kind, extra, reason):
    arrays = {**tiny.arrays(tiny.specs[kind], f"{kind}."), extra: np.zeros(2, np.int64)}
    ignored = source(tiny.write(tmp_path, tiny.specs[kind], arrays)).ignored
    assert [leaf.names for leaf in ignored] == [(extra,)]
    assert reason in ignored[0].note


def test_an_array_that_nobody_knows_is_refused(tmp_path, tiny):
    arrays = {**tiny.arrays(tiny.specs["vit"]), "embeddings.register_tokens": np.zeros(2, np.float32)}
    with pytest.raises(InputError, match="extra embeddings.register_tokens"):
        source(tiny.write(tmp_path, tiny.specs["vit"], arrays))


def test_another_pooling_is_taken_and_the_pooler_left(tmp_path, tiny):
    directory = tiny.write(tmp_path, tiny.specs["bert"])
    assert source(directory).spec.pool == "pooler"
    found = source(directory, pool="mean")
    assert found.spec.pool == "mean"
    assert {leaf.names[0] for leaf in found.ignored} == {"bert.pooler.dense.weight", "bert.pooler.dense.bias"}


def test_a_missing_pooler_says_what_to_choose(tmp_path, tiny):
    spec = tiny.specs["bert"]
    arrays = {name: array for name, array in tiny.arrays(spec).items() if not name.startswith("pooler")}
    directory = tiny.write(tmp_path, spec, arrays)
    with pytest.raises(InputError, match=r'missing pooler.*choose pool="first" or pool="mean"'):
        source(directory)
    assert source(directory, pool="first").spec.pool == "first"


def test_a_pooler_that_is_not_implemented_is_refused_where_it_is_used(tmp_path, tiny):
    spec = dataclasses.replace(tiny.specs["vit"], num_classes=0, pool="pooler")
    directory = tiny.write(tmp_path, spec, pooler_act="relu")
    assert read(directory).spec.pool == "first"
    with pytest.raises(InputError, match="pooler_act = 'relu' is not implemented"):
        read(directory, pool="pooler")


def test_another_resolution_resizes_the_positions(tmp_path, tiny):
    found = source(tiny.write(tmp_path, tiny.specs["vit"]), image_size=16)
    position = found.leaves["params/backbone/embedding/position"]
    assert (found.spec.image_size, found.preprocessing.image_size) == (16, 16)
    assert (position.shape, position.note) == ((1, 17, 8), "bicubic from 2x2 to 4x4")


def test_the_resolution_of_a_resnet_is_that_of_its_preprocessing(tmp_path, tiny):
    directory = tiny.write(tmp_path, tiny.specs["resnet"])
    assert read(directory).spec.image_size == 32
    assert read(directory, image_size=64).preprocessing.image_size == 64


def test_assumed_preprocessing_is_said_aloud(tmp_path, tiny):
    directory = tiny.write(tmp_path, tiny.specs["vit"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read(directory)
    (directory / "preprocessor_config.json").unlink()
    with pytest.warns(UserWarning, match=r"preprocessor_config\.json"):
        read(directory)


def test_text_is_as_long_as_the_positions_and_padded_as_the_config_says(tmp_path, tiny):
    found = read(tiny.write(tmp_path, dataclasses.replace(tiny.specs["bert"], padding=4))).preprocessing
    assert (found.length, found.vocabulary, found.padding, found.tokenizer) == (6, 11, 4, "")


def test_the_tokenizer_travels_and_its_content_is_named(tmp_path, tiny):
    directory = tiny.write(tmp_path, tiny.specs["bert"])
    (directory / "vocab.txt").write_text("[PAD]\n[UNK]\n")
    first = read(directory)
    assert first.files == {"vocab.txt": directory / "vocab.txt"}
    (directory / "vocab.txt").write_text("[PAD]\n[UNK]\nthe\n")
    assert first.preprocessing.tokenizer != read(directory).preprocessing.tokenizer != ""


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "preprocessor_config.json"])
def test_the_identity_changes_with_every_file_and_not_with_the_place(tmp_path, tiny, name):
    directory = tiny.write(tmp_path / "one", tiny.specs["vit"])
    shutil.copytree(directory, tmp_path / "two")
    assert read(directory).identity == read(tmp_path / "two").identity
    if name == "model.safetensors":
        tiny.write(directory, tiny.specs["vit"], {n: a + 1 for n, a in tiny.arrays(tiny.specs["vit"]).items()})
    else:
        (directory / name).write_text((directory / name).read_text() + " ")
    assert read(directory).identity != read(tmp_path / "two").identity


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"num_attention_heads": 3}, "config.json: heads 3 does not divide width 8"),
        ({"patch_size": 3}, "config.json: patch_size 3 does not divide image_size 8"),
        ({"num_hidden_layers": 10**6}, "a depth of 1000000, but model.safetensors holds"),
        ({"hidden_size": "8"}, "hidden_size = '8' is not a whole number"),
        ({"layer_norm_eps": float("nan")}, "layer_norm_eps = nan is not a number above 0"),
        ({"model_type": "deit"}, "model_type 'deit' is not implemented"),
        ({"swiglu": True}, "a setting that tlj does not implement: swiglu = True"),
        ({"hidden_act": "silu"}, "hidden_act = 'silu' is not implemented"),
    ],
)
def test_a_config_that_does_not_fit_is_refused_by_name(tmp_path, tiny, changes, what):
    with pytest.raises(InputError) as error:
        read(tiny.write(tmp_path, tiny.specs["vit"], **changes))
    assert what in str(error.value)
    assert str(tmp_path / "config.json") in str(error.value)


def test_sizes_beyond_the_arrays_are_refused_without_making_them(tmp_path, tiny):
    with pytest.raises(InputError, match="vit.embeddings.position_embeddings|embeddings.position_embeddings has shape"):
        source(tiny.write(tmp_path, tiny.specs["vit"], image_size=2**30))


def test_a_head_of_another_shape_is_refused(tmp_path, tiny):
    arrays = {**tiny.arrays(tiny.specs["vit"]), "classifier.weight": np.zeros(3, np.float32)}
    with pytest.raises(InputError, match=r"classifier.weight has shape \(3,\), which no head has"):
        read(tiny.write(tmp_path, tiny.specs["vit"], arrays))


def test_a_directory_without_config_says_what_is_there(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(InputError, match=r"no config.json; there is notes.txt"):
        read(tmp_path)


def test_the_family_that_the_user_names_has_to_be_the_checkpoints(tmp_path, tiny):
    with pytest.raises(InputError, match="the source is a vit, not a bert"):
        read(tiny.write(tmp_path, tiny.specs["vit"]), family="bert")


def test_every_golden_checkpoint_is_read_with_nothing_missing_or_extra(goldens):
    assert goldens
    for name, directory in goldens.items():
        config = json.loads((directory / "config.json").read_text())
        lacks_pooler = config["architectures"][0] in ("BertForMaskedLM", "BertForTokenClassification")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = source(directory, **({"pool": "first"} if lacks_pooler else {}))
        assert found.spec.num_classes in (0, 3), name
        assert not found.reset, name


@pytest.mark.parametrize(
    ("name", "expected", "chosen"),
    [("vit_gelu", "logits", {}), ("vit_headless", "pooled", {"pool": "pooler"}), ("vit_flax", "logits", {})],
)
def test_load_gives_what_the_class_of_transformers_gives(goldens, name, expected, chosen):
    reference = np.load(goldens[name] / "reference.npz")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = tlj.load(goldens[name], **chosen)
    np.testing.assert_allclose(model(reference["images"]), reference[expected], atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_config_without_model_type_is_of_the_family_that_the_user_says(tmp_path, tiny, kind):
    directory = tiny.write(tmp_path, tiny.specs[kind])
    config = json.loads((directory / "config.json").read_text())
    del config["model_type"]
    (directory / "config.json").write_text(json.dumps(config))
    assert read(directory, family=kind).spec == tiny.specs[kind]
    with pytest.raises(InputError, match="no model_type.*say the family"):
        read(directory)
