"""Texts to arrays of tokens."""

import json

import numpy as np
import pytest

from tlj.data.tokens.encode import Encoder
from tlj.errors import InputError
from tlj.pretrained.formats.tokenizer_files import open_tokenizer

TEXTS = ["", "a", "b a !", "  CAFÉ.  ", "zz de", "[MASK] a", "a b c d a b c d", "a\tb\nc"]
PAIRS = [("a", "b c"), ("", ""), ("a b c d a b", "c"), ("a", "b c d a b c d"), ("a b c d e", "d c b a b"), ("a", "")]


@pytest.fixture
def encode(source_of):
    """Encodes a whole source: ``encode(files, texts, length)``."""

    def call(files, texts, length):
        items = source_of(texts).items
        return Encoder(open_tokenizer(dict(files)), items, length)(0, list(items))

    return call


def rows_of(encoded):
    return [part.tolist() for part in np.split(encoded.ids, np.cumsum(encoded.lengths)[:-1])]


def assert_as_transformers_does(encoded, files, texts, length):
    singles = isinstance(texts[0], str)
    columns = (list(texts),) if singles else tuple(map(list, zip(*texts, strict=True)))
    given = open_tokenizer(dict(files))(*columns, truncation=True, max_length=length, padding=False)
    assert rows_of(encoded) == given["input_ids"]
    assert encoded.whole.tolist() == [len(ids) for ids in open_tokenizer(dict(files))(*columns)["input_ids"]]
    types = [np.arange(n) >= second for n, second in zip(encoded.lengths, encoded.second, strict=True)]
    assert [t.astype(int).tolist() for t in types] == given["token_type_ids"]


@pytest.mark.parametrize("length", [3, 5, 6, 7, 100])
def test_tokens_are_those_of_transformers(encode, tokenizer, length):
    assert_as_transformers_does(encode(tokenizer, TEXTS, length), tokenizer, TEXTS, length)


@pytest.mark.parametrize("length", [4, 5, 8, 9, 100])
def test_tokens_of_pairs_are_those_of_transformers_with_their_segments(encode, tokenizer, length):
    assert_as_transformers_does(encode(tokenizer, PAIRS, length), tokenizer, PAIRS, length)


def test_text_without_a_token_of_its_own_has_its_special_tokens(encode, tokenizer):
    encoded = encode(tokenizer, ["", "a"], 8)
    assert rows_of(encoded) == [[2, 3], [2, 5, 3]]
    assert encoded.ids.dtype == np.uint16


@pytest.mark.parametrize("side", ["left", "right"])
def test_text_is_cut_at_the_side_that_the_tokenizer_says(encode, tokenizer, tmp_path, side):
    config = tmp_path / "tokenizer_config.json"
    config.write_text(json.dumps({"tokenizer_class": "BertTokenizer", "truncation_side": side}))
    files = (*tokenizer, (config.name, config))
    encoded = encode(files, ["a b c d"], 4)
    assert rows_of(encoded) == [[2, 7, 8, 3] if side == "left" else [2, 5, 6, 3]]
    assert encoded.whole.tolist() == [6]


def test_ids_that_need_more_than_sixteen_bits_are_kept_whole(encode, tmp_path):
    file = tmp_path / "vocab.txt"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{i}" for i in range(70000))]
    file.write_text("\n".join(words))
    encoded = encode((("vocab.txt", file),), ["w69999 w0"], 8)
    assert encoded.ids.dtype == np.int32
    assert encoded.ids.tolist() == [2, 70004, 5, 3]


def test_a_model_that_takes_no_segments_gets_none(encode, tokenizer, tmp_path):
    config = tmp_path / "tokenizer_config.json"
    settings = {"tokenizer_class": "BertTokenizer", "model_input_names": ["input_ids", "attention_mask"]}
    config.write_text(json.dumps(settings))
    encoded = encode((*tokenizer, (config.name, config)), PAIRS, 100)
    np.testing.assert_array_equal(encoded.second, encoded.lengths)


def test_tokens_of_real_sentences_are_those_of_transformers_whatever_their_file_says_of_padding(encode, shared_data):
    folder = shared_data("pretrained/all-MiniLM-L6-v2")
    files = tuple((name, folder / name) for name in ("tokenizer.json", "tokenizer_config.json"))
    lines = shared_data("data/sst2/dev.tsv").read_text(encoding="utf-8").splitlines()[1:201]
    texts = [line.split("\t")[0] for line in lines]
    assert_as_transformers_does(encode(files, texts, 32), files, texts, 32)
    pairs = list(zip(texts[::2], texts[1::2], strict=True))
    assert_as_transformers_does(encode(files, pairs, 48), files, pairs, 48)


@pytest.mark.parametrize(
    ("texts", "length", "message"),
    [
        (["a", "a \ud800"], 8, r"texts.tsv, row 2: the text is not valid Unicode \(surrogates not allowed\)"),
        (["a", ("a", "b")], 8, "texts.tsv, row 2: 2 texts, but the first example has 1"),
        ([("a", "b"), "a"], 8, "texts.tsv, row 2: 1 texts, but the first example has 2"),
        (["a"], 2, "data.text.length: 2 tokens leave no room for text beside 2 special tokens; give at least 3"),
        ([("a", "b")], 3, "3 tokens leave no room for text beside 3 special tokens; give at least 4"),
    ],
)
def test_what_cannot_be_tokenised_is_refused_by_its_place(encode, tokenizer, texts, length, message):
    with pytest.raises(InputError, match=message):
        encode(tokenizer, texts, length)


def fast_tokenizer(folder, template=""):
    """The files of a tokenizer that pads and cuts, without a post-processor but for a template of pairs."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    made = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1, "|": 2}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if template:
        made.post_processor = processors.TemplateProcessing(single="$A", pair=template, special_tokens=[("|", 2)])
    made.enable_padding(length=6)
    made.enable_truncation(3)
    made.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "model_input_names": ["input_ids", "token_type_ids"]}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return tuple((name, folder / name) for name in ("tokenizer.json", "tokenizer_config.json"))


def test_padding_and_cutting_that_the_file_asks_for_are_not_done(encode, tmp_path):
    encoded = encode(fast_tokenizer(tmp_path), ["a", "a a | a a a"], 5)
    assert rows_of(encoded) == [[1], [1, 1, 2, 1, 1]]
    assert encoded.whole.tolist() == [1, 6]


def test_text_without_any_token_is_refused(encode, tmp_path):
    with pytest.raises(InputError, match="row 2: the text gives no token"):
        encode(fast_tokenizer(tmp_path), ["a", " "], 8)


def test_segments_in_another_order_are_refused(encode, tmp_path):
    with pytest.raises(InputError, match="token types that are not a first segment and then a second"):
        encode(fast_tokenizer(tmp_path, "$A:1 |:1 $B:0"), [("a", "a")], 8)
