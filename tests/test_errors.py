import pytest

from tlj.errors import InputError, nearest_name, unknown_name


def test_the_line_has_what_where_nearest_and_do_in_that_order():
    error = InputError("unknown arm 'ful'", where="config.arms[1]", nearest="full", do="use one of full, scratch")
    assert str(error) == "config.arms[1]: unknown arm 'ful'; did you mean 'full'?; use one of full, scratch"


def test_parts_that_are_absent_leave_no_trace():
    assert str(InputError("no verb")) == "no verb"
    assert str(InputError("no verb", do="write one")) == "no verb; write one"


def test_the_parts_can_be_read_back():
    error = InputError("what", where="where", nearest="nearest", do="do")
    assert (error.what, error.where, error.nearest, error.do) == ("what", "where", "nearest", "do")


def test_it_stays_one_line_whatever_was_written():
    assert "\n" not in str(InputError("two\nlines", where="a\nb", do="c\nd"))


def test_nearest_name_is_the_closest_in_spelling():
    assert nearest_name("linear_prob", ["full", "linear_probe", "last_blocks"]) == "linear_probe"


def test_nearest_name_is_none_where_nothing_is_close():
    assert nearest_name("xyzzy", ["full", "linear_probe"]) is None
    assert nearest_name("full", []) is None


@pytest.mark.parametrize("where", ["", "config.strategy"])
def test_unknown_name_lists_all_valid_names_in_order(where):
    error = unknown_name("strategy", "ful", {"scratch", "full"}, where=where)
    assert (error.nearest, error.do, error.where) == ("full", "use one of full, scratch", where)
    assert "unknown strategy 'ful'" in str(error)


@pytest.mark.parametrize("letter", ["\n", "\r", "\x1b", "\u2028", "\x85", "\udcff"])
def test_a_name_keeps_a_character_that_is_not_printable_spelt_out(letter):
    line = str(InputError("the file is empty", where=f"é/a{letter}b.jpg"))
    assert len(line.splitlines()) == 1
    assert line == f"é/a{ascii(letter)[1:-1]}b.jpg: the file is empty"
