"""The verbs about data, from the command line: audit, predict, and the measurement of input."""

import json
import os

import numpy as np
import PIL.Image
import pytest

from tlj import cli


@pytest.fixture(autouse=True)
def _the_same_devices(monkeypatch):
    # Said already, so that the tests after this one keep the devices that they have.
    monkeypatch.setenv("JAX_PLATFORMS", os.environ.get("JAX_PLATFORMS", ""))


@pytest.fixture
def photographs(tmp_path):
    """A folder of noise with one test image that is a training image too."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 6), ("test", 3)):
        for label in ("a", "b"):
            (tmp_path / "data" / split / label).mkdir(parents=True)
            for index in range(count):
                pixels = rng.integers(0, 256, (12, 12, 3), np.uint8)
                PIL.Image.fromarray(pixels).save(tmp_path / "data" / split / label / f"{index}.png")
    return tmp_path / "data"


def test_an_audit_leaves_a_page_and_json_and_strictly_ends_with_one_where_the_test_leaks(photographs, tmp_path, capsys):
    words = ["audit", f"--data=folder:{photographs}", "--config.data.test=test", f"--to={tmp_path}/page"]
    assert cli.main([*words, "--strict"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"audit: {tmp_path}/page/audit.html"
    leaked = (photographs / "train/a/0.png").read_bytes()
    (photographs / "test/a/0.png").write_bytes(leaked)
    assert cli.main(words) == 0
    capsys.readouterr()
    assert cli.main([*words, "--strict", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report == json.loads((tmp_path / "page/audit.json").read_text())
    (between,) = report["duplicates"]["of_training"]
    assert (between["split"], between["copies"]) == ("test", 1)


def test_a_model_predicts_what_it_is_given_and_writes_one_new_file(comparison, tmp_path, capsys):
    run = comparison[0] / "runs/full/40/0"
    words = ["predict", str(run), "--data=digits:5-9", "--split=all[:20%]", f"--to={tmp_path}/p.parquet"]
    assert cli.main(words) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"predictions: {tmp_path}/p.parquet"
    assert cli.main(words) == 2
    assert "is there already" in capsys.readouterr().err
    assert cli.main([*words[:-1], f"--to={tmp_path}/q.parquet", "--json"]) == 0
    assert json.loads(capsys.readouterr().out).keys() == {"examples", "loss", "accuracy"}


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["audit"], "tlj: audit: no data; give --data=SOURCE"),
        (["audit", "--data=foldr:x"], "tlj: config.data.source: unknown data source 'foldr'; did you mean 'folder'?"),
        (["predict", "."], "tlj: predict: no data; give --data=SOURCE"),
        (["predict", "nowhere", "--data=digits"], "tlj: nowhere: no such folder"),
        (["predict", ".", "--data=digits", "--step=first"], "tlj: --step: no step 'first'"),
        (["bench", "--input-only", "--data=digits"], "tlj: --data: digits is not read from files"),
        (["bench", "--config=configs/digits.py", "--data=digits"], "tlj: --data: only input is measured on several"),
    ],
)
def test_what_cannot_be_done_is_one_line(words, problem, capsys):
    assert cli.main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(problem)
    assert err.count("\n") == 1
