"""Which columns are used for what."""

import pytest

from tlj.data.origins.columns import PAIRS, choose_columns
from tlj.data.settings import DataSettings
from tlj.errors import InputError


def chosen(names, **settings):
    return choose_columns(names, DataSettings("csv:a", **settings), "a.csv")


@pytest.mark.parametrize(
    ("names", "content", "label"),
    [
        (["idx", "sentence", "label"], ("sentence",), "label"),
        (["text", "target"], ("text",), "target"),
        (["question", "sentence", "label", "class"], ("question", "sentence"), "label"),
        (["img", "class"], ("img",), "class"),
    ],
)
def test_usual_names_are_found(names, content, label):
    columns = chosen(names)
    assert (columns.content, columns.label) == (content, label)
    assert columns.kind == ("images" if content == ("img",) else "text")


@pytest.mark.parametrize("pair", PAIRS)
def test_pairs_are_found_in_their_order(pair):
    assert chosen([*reversed(pair), "label"]).text == pair


def test_named_columns_win_and_each_is_read_once():
    columns = chosen(["text", "sentence", "y", "who"], text=("sentence",), label="y", group="who", id="who")
    assert columns.names == ["sentence", "y", "who"]
    assert chosen(["text", "image", "label"], image="image").content == ("image",)


@pytest.mark.parametrize(
    ("names", "settings", "error"),
    [
        (["text", "image", "label"], {}, r"it has text \(text\) and images \(image\); name the one to use"),
        (["text", "sentence", "label"], {}, r"several columns could be the text: text, sentence"),
        (["path", "file", "label"], {}, r"several columns could be the image: path, file"),
        (["a", "label"], {}, r"no column of a usual name; .* one of a, label"),
        (["text", "a"], {}, r"there is no column 'label'; set data.columns.label to one of text, a"),
        (["text", "class", "target"], {}, r"several columns could be the label: class, target"),
        (["text", "label"], {"text": ("texxt",)}, r"no column 'texxt'; did you mean 'text'\?; .*text to one of"),
        (["text", "label"], {"group": "user"}, r"no column 'user'; set data.columns.group"),
        (["text", "label"], {"text": ("text",), "image": "text"}, r"both data.columns.text and data.columns.image"),
        (["text", "label"], {"text": ("text",) * 3}, r"3 columns of text"),
    ],
)
def test_what_cannot_be_decided_is_one_line(names, settings, error):
    with pytest.raises(InputError, match=error):
        chosen(names, **settings)
