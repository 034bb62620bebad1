"""CSV and TSV."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tlj.data.origins import separated
from tlj.data.origins.separated import CSV, TSV, header_of, read_separated
from tlj.data.settings import DataSettings, Problems
from tlj.errors import InputError

NAMES = ["text", "label"]


@pytest.fixture(autouse=True)
def _limit():
    """The csv module has one limit for the whole process, which these tests lower."""
    limit = csv.field_size_limit()
    yield
    csv.field_size_limit(limit)


def read(file, dialect=CSV, on_error="skip"):
    problems = Problems(DataSettings("csv:a", on_error=on_error))
    return read_separated(file, "", NAMES, problems, dialect), problems.skipped


def texts(rows):
    return rows.column("text").to_pylist()


def test_quoted_values_hold_separators_quotes_and_new_lines(written):
    rows, _ = read(written("a.csv", 'text,label\r\n"a, ""b""\nc",1\r\nd 5" e,2\r\n'))
    assert texts(rows) == ['a, "b"\nc', 'd 5" e']


def test_a_quoted_new_line_may_lie_where_the_file_is_cut_for_reading(written, monkeypatch):
    monkeypatch.setattr(separated, "_BLOCK", 40)
    values = [f"a{i}\nb\nc" for i in range(50)]
    rows, skipped = read(written("a.csv", "text,label\n" + "".join(f'"{value}",1\n' for value in values)))
    assert texts(rows) == values
    assert not skipped


def test_tsv_has_no_quotes_as_glue_writes_it(written):
    rows, skipped = read(written("a.tsv", 'text\tlabel\n"a\t1\nb"c\t0\n'), TSV)
    assert texts(rows) == ['"a', 'b"c']
    assert not skipped


def test_lines_are_counted_as_an_editor_shows_them(written):
    rows, _ = read(written("a.csv", 'text,label\n\n"a\nb",1\n\n\nc,2\n"d\n\ne",3\nf,4'))
    assert [rows.where(row) for row in range(4)] == [f"a.csv, row {line}" for line in (3, 7, 8, 11)]
    assert rows.numbers.tolist() == [1, 2, 3, 4]


def test_a_ragged_row_is_told_and_the_others_keep_their_numbers(written):
    rows, skipped = read(written("a.csv", 'text,label\na,1\n"b\nb"\nc,2,3\nd,4\n'))
    assert texts(rows) == ["a", "d"]
    assert [(problem.where, problem.reason.partition(" (")[0]) for problem in skipped] == [
        ("a.csv, row 3", "has 1 value, the header 2"),
        ("a.csv, row 5", "has 3 values, the header 2"),
    ]
    assert rows.numbers.tolist() == [1, 4]
    assert rows.where(1) == "a.csv, row 6"


def test_a_quote_that_is_never_closed_is_suspected(written):
    file = written("a.csv", 'text,label\na,1\n"b,2\nc,3\n')
    with pytest.raises(InputError, match=r"a\.csv, row 3: has 1 value, the header 2 \(is a quote never closed\?\)"):
        read(file, on_error="raise")


def test_a_byte_order_mark_is_no_part_of_the_first_name(written):
    file = written("a.csv", b"\xef\xbb\xbftext,label\na,1\n")
    assert header_of(file, CSV) == NAMES
    assert texts(read(file)[0]) == ["a"]


def test_nothing_is_taken_for_a_missing_value(written):
    rows, _ = read(written("a.csv", "text,label\nNA,NULL\nnull,\n"))
    assert rows.table.to_pydict() == {"text": ["NA", "null"], "label": ["NULL", ""]}


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("text,label,text\n", "two columns are named 'text'"),
        ("text,label\n".encode("utf-16"), "its header is not UTF-8; save it as csv in UTF-8"),
    ],
)
def test_a_bad_header_is_one_line_with_the_file(written, content, error):
    with pytest.raises(InputError, match=rf"a\.csv: {error}"):
        header_of(written("a.csv", content), CSV)


VALUES = st.text(st.sampled_from('ab",\n é\t'), max_size=6).filter(lambda text: text.strip())


@hypothesis_settings(derandomize=True, deadline=None, max_examples=60)
@given(st.lists(VALUES, min_size=1, max_size=8))
def test_what_python_writes_is_read_back_and_every_row_found_where_it_begins(tmp_path_factory, values):
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([NAMES, *((value, "1") for value in values)])
    file = tmp_path_factory.mktemp("csv") / "a.csv"
    file.write_text(buffer.getvalue())
    rows, _ = read(file, on_error="raise")
    assert texts(rows) == values
    line = 2
    for row, value in enumerate(values):
        assert rows.where(row) == f"a.csv, row {line}"
        line += 1 + value.count("\n")


def test_a_ragged_row_that_is_not_utf8_is_told_and_the_others_keep_their_bytes(written):
    rows, skipped = read(written("a.csv", 'text,label\n"é\n日",1\n'.encode() + b"\xe9,b,c\n\xe9,1\nd,2\n"))
    assert texts(rows) == ["é\n日", "d"]
    assert rows.numbers.tolist() == [1, 4]
    assert [(problem.where, problem.reason) for problem in skipped] == [
        ("a.csv, row 4", "has 3 values, the header 2"),
        ("a.csv, row 5", "is not UTF-8 text"),
    ]


def test_columns_are_found_by_name_where_a_row_is_ragged(written):
    rows, _ = read(written("a.csv", "id,label,other,text\n1,a,x,t\n2\n3,b,y,u\n"))
    assert rows.table.to_pydict() == {"text": ["t", "u"], "label": ["a", "b"]}


def test_what_is_no_text_is_one_line(written):
    with pytest.raises(InputError, match=r"a\.csv: is no text: its header holds null bytes"):
        header_of(written("a.csv", b"text\0,label\n"), CSV)


def test_a_row_longer_than_any_may_be_is_one_line_with_its_number(written, monkeypatch):
    monkeypatch.setattr(separated, "_BLOCK", 40)
    file = written("a.csv", "text,label\na,1\n" + "b" * 100 + ",1\n")
    with pytest.raises(InputError, match=r"a\.csv, row 3: the row cannot be read: field larger than field limit"):
        read(file)
