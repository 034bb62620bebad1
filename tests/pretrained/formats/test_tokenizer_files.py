"""Tokenizers: found, carried whole or not at all, and opened without anything being executed."""

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

from tlj.errors import InputError
from tlj.pretrained.formats.tokenizer_files import (
    carry_tokenizer_files,
    check_tokenizer_files,
    find_tokenizer_files,
    open_tokenizer,
)
from tlj.pretrained.identity import content_identity

MINILM = pathlib.Path(__file__).parents[3].parent / "shared/pretrained/all-MiniLM-L6-v2"
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "Cat", "run", "##s", ","]


@pytest.fixture
def wordpiece(tmp_path):
    """A directory with a tiny vocabulary and what is said of it."""
    directory = tmp_path / "checkpoint"
    directory.mkdir()
    (directory / "vocab.txt").write_text("".join(f"{word}\n" for word in WORDS))
    config = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 6}
    (directory / "tokenizer_config.json").write_text(json.dumps(config))
    return directory


def configured(directory, **changes):
    path = directory / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return find_tokenizer_files(directory)


def test_the_files_of_a_tokenizer_are_found_by_name_and_no_others(wordpiece):
    (wordpiece / "config.json").write_text("{}")
    (wordpiece / "tokenizer.py").write_text("")
    (wordpiece / "added_tokens.json").mkdir()
    assert find_tokenizer_files(wordpiece) == {
        name: wordpiece / name for name in ("vocab.txt", "tokenizer_config.json")
    }
    assert find_tokenizer_files(wordpiece / "nowhere") == {}


def test_a_vocabulary_makes_a_tokenizer(wordpiece):
    tokenizer = open_tokenizer(find_tokenizer_files(wordpiece))
    found = tokenizer("The cat runs, THE dog")
    assert tokenizer.convert_ids_to_tokens(found["input_ids"]) == [
        *("[CLS]", "the", "cat", "run", "##s", ",", "the", "[UNK]", "[SEP]")
    ]
    assert tokenizer("cat", "run")["token_type_ids"] == [0, 0, 0, 1, 1]
    assert tokenizer.model_max_length == 6
    assert tokenizer.pad_token_id == 0
    assert tokenizer.name_or_path == str(wordpiece)


def test_its_settings_are_followed(wordpiece):
    cased = open_tokenizer(configured(wordpiece, do_lower_case=False))
    assert cased.convert_ids_to_tokens(cased("Cat The")["input_ids"]) == ["[CLS]", "Cat", "[UNK]", "[SEP]"]


def test_a_vocabulary_alone_is_read_as_bert_reads_it(wordpiece):
    (wordpiece / "tokenizer_config.json").unlink()
    assert open_tokenizer(find_tokenizer_files(wordpiece))("the CAT")["input_ids"] == [2, 5, 6, 3]


@pytest.mark.parametrize("named", ["BertTokenizerFast", "PreTrainedTokenizerFast", "TokenizersBackend"])
def test_what_was_saved_opens_the_same(wordpiece, tmp_path, named):
    first = open_tokenizer(find_tokenizer_files(wordpiece))
    first.save_pretrained(tmp_path / "saved")
    files = configured(tmp_path / "saved", tokenizer_class=named)
    assert "tokenizer.json" in files
    text = "the cat runs, Dog"
    assert open_tokenizer(files)(text)["input_ids"] == first(text)["input_ids"]


def test_nothing_that_the_settings_name_is_executed_or_read(wordpiece, tmp_path):
    (wordpiece / "mine.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'w')\n")
    other = tmp_path / "other.txt"
    other.write_text("".join(f"{word}\n" for word in reversed(WORDS)))
    files = configured(
        wordpiece,
        auto_map={"AutoTokenizer": ["mine.Mine", "mine.Mine"]},
        vocab_file=str(other),
        tokenizer_file=str(other),
        gguf_file=str(other),
    )
    assert open_tokenizer(files)("the cat")["input_ids"] == [2, 5, 6, 3]
    assert not (tmp_path / "executed").exists()


def test_files_beside_those_of_the_tokenizer_are_not_read(wordpiece):
    files = find_tokenizer_files(wordpiece)
    (wordpiece / "special_tokens_map.json").write_text("{")
    assert open_tokenizer(files)("the")["input_ids"] == [2, 5, 3]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tokenizer_config.json", "{", "tokenizer_config.json: cannot be read"),
        ("tokenizer_config.json", "[]", "tokenizer_config.json: is not a JSON object"),
        ("tokenizer_config.json", '{"tokenizer_class": "BertTokeniser"}', "did you mean 'BertTokenizer'?"),
        ("tokenizer_config.json", '{"tokenizer_class": ["x"]}', "unknown tokenizer_class"),
        (
            "tokenizer_config.json",
            '{"tokenizer_class": "TokenizersBackend"}',
            "a TokenizersBackend needs tokenizer.json",
        ),
        ("tokenizer_config.json", '{"added_tokens_decoder": {"5": 1}}', "no tokenizer can be made of these files"),
        ("tokenizer.json", "{", "no tokenizer can be made of these files"),
        ("tokenizer.json", '{"model": {"type": "WordPiece"}}', "no tokenizer can be made of these files"),
        ("vocab.txt", b"\xff\xfe\xff", "no tokenizer can be made of these files"),
        ("special_tokens_map.json", "[1]", "no tokenizer can be made of these files"),
    ],
)
def test_a_broken_file_is_refused(wordpiece, name, content, message):
    (wordpiece / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=re.escape(message)):
        open_tokenizer(find_tokenizer_files(wordpiece))


def test_a_model_without_a_tokenizer_says_so(wordpiece):
    with pytest.raises(InputError, match="no tokenizer travels with this model"):
        open_tokenizer({})
    (wordpiece / "vocab.txt").unlink()
    with pytest.raises(InputError, match=re.escape(f"{wordpiece}: no tokenizer travels with this model")):
        open_tokenizer(find_tokenizer_files(wordpiece))


def test_opening_takes_no_torch_and_importing_takes_no_transformers(wordpiece):
    code = f"""
import pathlib, sys
from tlj.pretrained.formats.tokenizer_files import find_tokenizer_files, open_tokenizer
assert "transformers" not in sys.modules
open_tokenizer(find_tokenizer_files(pathlib.Path({str(wordpiece)!r})))
assert not {{"torch", "tensorflow"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})


def test_files_are_carried_as_they_are(wordpiece, tmp_path):
    files = find_tokenizer_files(wordpiece)
    identity = content_identity(files.values())
    folder = tmp_path / "run" / "tokenizer"
    carry_tokenizer_files(files, identity, folder)
    carried = find_tokenizer_files(folder)
    assert {name: file.read_bytes() for name, file in carried.items()} == {
        name: file.read_bytes() for name, file in files.items()
    }
    check_tokenizer_files(carried, identity, "RUN")


def test_runs_of_a_process_share_the_files_on_the_disk_as_long_as_they_are_what_they_were(wordpiece, tmp_path):
    files = find_tokenizer_files(wordpiece)
    identity = content_identity(files.values())
    folders = [tmp_path / str(i) / "tokenizer" for i in range(4)]
    carry_tokenizer_files(files, identity, folders[0])
    carry_tokenizer_files(files, identity, folders[1])
    assert all(os.path.samefile(folders[0] / name, folders[1] / name) for name in files)
    assert not os.path.samefile(folders[0] / "vocab.txt", files["vocab.txt"])
    # Somebody wrote another word into the second.
    (folders[1] / "vocab.txt").write_text("other\n")
    carry_tokenizer_files(files, identity, folders[2])
    (folders[2] / "vocab.txt").unlink()
    carry_tokenizer_files(files, identity, folders[3])
    check_tokenizer_files(find_tokenizer_files(folders[3]), identity, "RUN")


def test_what_a_killed_process_left_is_replaced(wordpiece, tmp_path):
    files = find_tokenizer_files(wordpiece)
    folder = tmp_path / "tokenizer"
    for leftover in (folder, tmp_path / "tokenizer.tmp"):
        leftover.mkdir()
        (leftover / "tokenizer.json").write_text("half")
    carry_tokenizer_files(files, content_identity(files.values()), folder)
    assert sorted(entry.name for entry in folder.iterdir()) == ["tokenizer_config.json", "vocab.txt"]
    assert not (tmp_path / "tokenizer.tmp").exists()


def test_files_that_changed_since_they_were_read_are_not_carried(wordpiece, tmp_path):
    files = find_tokenizer_files(wordpiece)
    identity = content_identity(files.values())
    (wordpiece / "vocab.txt").write_text("other\n")
    with pytest.raises(
        InputError, match=f"the files of the tokenizer have the hash .*, those of the model have {identity}"
    ):
        carry_tokenizer_files(files, identity, tmp_path / "tokenizer")
    assert not (tmp_path / "tokenizer").exists()


def test_files_of_another_tokenizer_are_refused_and_so_are_none(wordpiece):
    files = find_tokenizer_files(wordpiece)
    check_tokenizer_files(files, content_identity(files.values()), "RUN")
    check_tokenizer_files({}, "", "RUN")
    with pytest.raises(InputError, match="RUN: the files of the tokenizer have the hash"):
        check_tokenizer_files(files, "0" * 12, "RUN")
    with pytest.raises(InputError, match="RUN: the files of the tokenizer are missing, those of the model have 0000"):
        check_tokenizer_files({}, "0" * 12, "RUN")


@pytest.mark.skipif(not MINILM.is_dir(), reason="the real checkpoint is not there")
def test_the_tokenizer_of_minilm_is_the_one_that_transformers_opens():
    from transformers import AutoTokenizer

    ours = open_tokenizer(find_tokenizer_files(MINILM))
    theirs = AutoTokenizer.from_pretrained(MINILM, local_files_only=True)
    texts = ["Hello, World!", "naïve café — 東京 2024", "x" * 200, "", "unbelievably [MASK] long\ttext"]
    assert ours(texts, padding=True)["input_ids"] == theirs(texts, padding=True)["input_ids"]
    assert ours("Hello, World!")["input_ids"] == [101, 7592, 1010, 2088, 999, 102]
    assert len(ours) == 30522
