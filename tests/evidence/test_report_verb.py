import errno
import json
import pathlib

import pytest

from tlj import cli


@pytest.fixture(scope="module")
def two(make_comparison, tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    arms = {"arms": ("scratch", "full"), "budgets": (10,), "accuracies": {"scratch": (0.5,), "full": (0.7,)}}
    return make_comparison(folder / "a", **arms), make_comparison(folder / "b", **arms)


def test_report_prints_its_answer_and_where_it_is(two, capsys):
    assert cli.main(["report", str(two[0])]) == 0
    answer, where = capsys.readouterr().out.splitlines()
    assert answer == json.loads((two[0] / "summary.json").read_text())["answer"]
    assert where == f"report: {two[0] / 'report.html'}"


def test_several_comparisons_are_told_together_in_the_first(two, capsys):
    assert cli.main(["report", str(two[0]), f"--across={two[1]}"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"across: {two[0] / 'across.html'}"
    assert json.loads((two[0] / "across.json").read_text())


def test_a_folder_that_is_not_there_is_one_line(two, capsys):
    assert cli.main(["report", str(two[0]), "--across=nowhere"]) == 2
    assert capsys.readouterr().err == "tlj: nowhere: no such folder; see `tlj report --help`\n"


def test_a_comparison_counts_once(two, capsys):
    for across in (two[0], f"{two[1]},{two[1]}/"):
        assert cli.main(["report", str(two[0]), f"--across={across}"]) == 2
        written = capsys.readouterr()
        assert not written.out
        assert "stands twice; name each comparison once" in written.err


def test_a_folder_that_is_no_comparison_is_refused_before_any_report(two, capsys):
    (two[0] / "report.html").unlink(missing_ok=True)
    assert cli.main(["report", str(two[0]), f"--across={two[1] / 'runs'}"]) == 2
    assert "is not a comparison: it holds no comparison.json" in capsys.readouterr().err
    assert not (two[0] / "report.html").exists()


def test_a_full_disk_is_one_line_and_the_earlier_report_stays(two, capsys, monkeypatch):
    first, _ = two
    assert cli.main(["report", str(first)]) == 0
    page = (first / "report.html").read_bytes()
    capsys.readouterr()

    def no_room(self, text, encoding=None):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pathlib.Path, "write_text", no_room)
    assert cli.main(["report", str(first)]) != 0
    error = capsys.readouterr().err
    assert f"tlj: {first}: no space left on the disk" in error
    assert "Traceback" not in error
    assert (first / "report.html").read_bytes() == page
