"""Kinds of settings in a config.json."""

import pytest

from tlj.errors import InputError
from tlj.pretrained.formats.huggingface.settings import (
    ACTIVATION_NAMES,
    flag,
    one_of,
    optional_size,
    positive,
    rate,
    side,
    size,
    sizes,
    text,
)

NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("setting", "values"),
    [
        (size(1), [0, -1, 2**31, 1.5, 4.0, True, "768", None, [1], NAN]),
        (size(1, least=0), [-1, None]),
        (optional_size(), [-1, 1.5, "8", True]),
        (side(1), [0, "224", [224, 192], [224], [224, 224, 224], {"height": 224}, None]),
        (sizes((1,)), [[], 3, [1, 0], [1, "2"], [True], None, "12"]),
        (positive(1.0), [0, 10**400, -1e-5, NAN, INFINITY, "1e-5", True, None, [1e-5]]),
        (rate(0.0), [1, 10**400, 1.0, -0.1, NAN, INFINITY, "0.1", False, None]),
        (rate(None, optional=True), [1.0, "0.1", True]),
        (flag(True), [0, 1, "true", None]),
        (text("tanh"), [None, 1, ["tanh"]]),
        (one_of("gelu", ACTIVATION_NAMES), ["quick_gelu", "silu", "gelu_10", "GELU", None, 1, ["gelu"], {}]),
    ],
)
def test_a_value_of_another_kind_is_refused_with_file_and_key(setting, values):
    for value in values:
        with pytest.raises(InputError, match=r"^config\.json: key = .* is not ") as error:
            setting.value({"key": value}, "key", "config.json")
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("setting", "given", "value"),
    [
        (size(1), 768, 768),
        (size(1, least=0), 0, 0),
        (optional_size(), None, None),
        (side(1), 224, 224),
        (side(1), [16, 16], 16),
        (sizes((1,)), [3, 4], (3, 4)),
        (positive(1.0), 1, 1.0),
        (rate(0.0), 0, 0.0),
        (rate(None, optional=True), None, None),
        (flag(True), False, False),
        (text(""), "relu", "relu"),
    ],
)
def test_a_value_is_read_as_tlj_uses_it(setting, given, value):
    assert setting.value({"key": given}, "key", "config.json") == value


def test_a_missing_key_takes_the_default_of_transformers():
    assert one_of("gelu_new", ACTIVATION_NAMES).value({}, "hidden_act", "config.json") == "gelu_tanh"
    assert sizes((3, 4)).value({}, "depths", "config.json") == (3, 4)


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("gelu", "gelu"),
        ("gelu_python", "gelu"),
        ("gelu_new", "gelu_tanh"),
        ("gelu_fast", "gelu_tanh"),
        ("gelu_pytorch_tanh", "gelu_tanh"),
        ("gelu_python_tanh", "gelu_tanh"),
        ("relu", "relu"),
    ],
)
def test_every_spelling_of_an_activation_stands_for_its_formula(name, ours):
    assert one_of("gelu", ACTIVATION_NAMES).value({"hidden_act": name}, "hidden_act", "") == ours


def test_another_activation_is_named_with_the_nearest_and_with_what_exists():
    with pytest.raises(InputError) as error:
        one_of("gelu", ACTIVATION_NAMES).value({"hidden_act": "quick_gelu"}, "hidden_act", "config.json")
    message = str(error.value)
    assert "hidden_act = 'quick_gelu' is not implemented" in message
    assert "did you mean 'gelu'" in message
    assert "gelu_new" in message
    assert "relu" in message


def test_a_long_value_is_cut_in_the_message():
    with pytest.raises(InputError) as error:
        size(1).value({"key": "x" * 10_000}, "key", "config.json")
    assert len(str(error.value)) < 200
