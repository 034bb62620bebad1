"""Tables of one JSON object a line."""

import pytest

from tlj.data.origins.json_lines import keys_of, read_json_lines
from tlj.data.settings import DataSettings, Problems
from tlj.errors import InputError


def read(file, on_error="skip"):
    problems = Problems(DataSettings("jsonl:a", on_error=on_error))
    return read_json_lines(file, "", ["text", "label"], ["text"], problems), problems.skipped


def test_values_are_read_as_text_that_means_the_same(written):
    rows, _ = read(written("a.jsonl", '{"text": "2020-01-01", "label": 1}\n\n{"text": "é\\n", "label": "x"}\n'))
    assert rows.table.to_pydict() == {"text": ["2020-01-01", "é\n"], "label": ["1", "x"]}
    assert [rows.where(0), rows.where(1)] == ["a.jsonl, row 1", "a.jsonl, row 3"]
    assert rows.numbers.tolist() == [1, 2]


def test_a_label_that_an_object_lacks_is_missing(written):
    rows, _ = read(written("a.jsonl", '{"text": "a", "label": null}\n{"text": "b"}\n'))
    assert rows.column("label").to_pylist() == [None, None]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"text": "a", "label"', "is not JSON: .* at character"),
        (b'["a", 1]', "is a JSON list, not an object"),
        (b'{"label": 1}', "'text' is missing"),
        (b'{"text": null, "label": 1}', "'text' is missing"),
        (b'{"text": 12, "label": 1}', "'text' is 12, not text"),
        (b'{"text": "a", "label": [1, 2]}', r"'label' is \[1, 2\], not one value"),
        (b'{"text": "\xff", "label": 1}', "is not UTF-8 text"),
        (b'{"text": "\\ud800", "label": 1}', "half a surrogate pair"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_a_bad_line_is_told_with_its_number_and_the_others_are_kept(written, line, reason):
    good = b'{"text": "a", "label": 1}\n'
    file = written("a.jsonl", good + b"\n" + line + b"\n" + good)
    rows, skipped = read(file)
    assert len(rows) == 2
    assert rows.where(1) == "a.jsonl, row 4"
    assert [problem.where for problem in skipped] == ["a.jsonl, row 3"]
    with pytest.raises(InputError, match=rf"a\.jsonl, row 3: .*{reason}"):
        read(file, on_error="raise")


def test_keys_are_those_of_the_first_object(written):
    assert keys_of(written("a.jsonl", b'\xef\xbb\xbf\n {"b": 1, "a": 2}\n')) == ["b", "a"]


@pytest.mark.parametrize("content", ["", "\n \n", "text,label\n"])
def test_a_file_without_objects_is_one_line(written, content):
    with pytest.raises(InputError, match=r"a\.jsonl: .*; give a file with a JSON object a line"):
        keys_of(written("a.jsonl", content))


def test_a_bad_first_line_is_a_line_like_others(written):
    file = written("a.jsonl", b'{"text": \n{"text": "a", "label": 1}\n')
    assert keys_of(file) == ["text", "label"]
    rows, skipped = read(file)
    assert (len(rows), [problem.where for problem in skipped]) == (1, ["a.jsonl, row 1"])


def test_a_number_that_is_too_long_to_read_is_told(written):
    file = written("a.jsonl", b'{"text": "a", "label": ' + b"9" * 5000 + b"}\n")
    with pytest.raises(
        InputError, match=r"a\.jsonl, row 1: is not JSON that can be read: a number has too many digits"
    ):
        read(file, on_error="raise")
