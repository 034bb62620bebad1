"""The verb `advise`: its words in, its paragraph or JSON out, and the exit code."""

import json

import pytest

from tlj import cli


@pytest.fixture(scope="module")
def directory(make_comparison, tmp_path_factory):
    return make_comparison(tmp_path_factory.mktemp("verb"), arms=("scratch", "full"), budgets=(10, 25), seeds=(0, 1, 2))


def test_it_prints_a_paragraph_and_an_open_question_is_no_failure(directory, capsys):
    assert cli.main(["advise", str(directory), "--label-cost=0.05", "--budget=500", "--target=0.99"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Undecided: the target of 99.0 % is not reached within the measured budgets")
    assert out.count("\n") == 1


def test_it_prints_json_with_the_prices_of_a_file(directory, tmp_path, capsys):
    (tmp_path / "p.toml").write_text("[labels]\ndollars_per_label = 2\nworkers_per_label = 3")
    assert cli.main(["advise", str(directory), f"--prices={tmp_path}/p.toml", "--workers-per-label=1", "--json"]) == 0
    advice = json.loads(capsys.readouterr().out)
    assert {"decision", "arm", "budget", "cost", "reasons", "next_run"} <= set(advice)
    assert advice["cost"]["labels"] == 2 * advice["budget"]


@pytest.mark.parametrize(
    "flag", ["--label-cost=-1", "--budget=-5", "--budget=5", "--target=90", "--workers-per-label=0", "--budget=much"]
)
def test_a_bad_flag_is_one_line_and_exit_code_2(flag, directory, capsys):
    assert cli.main(["advise", str(directory), flag]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_folder_that_is_no_comparison_is_refused(tmp_path, capsys):
    assert cli.main(["advise", str(tmp_path)]) == 2
    assert "not a comparison" in capsys.readouterr().err
