"""How fast input is: every row is there and means what it says."""

import os

import numpy as np
import PIL.Image
import pytest

from tlj import config as configuration
from tlj.benchmark import input as benchmark
from tlj.data.cache import VARIABLE
from tlj.errors import InputError


@pytest.fixture(autouse=True)
def _quickly(monkeypatch):
    for name, value in (("IMAGES", 16), ("SMALL_IMAGES", 25_600), ("FILES", 40), ("ROUNDS", 1)):
        monkeypatch.setattr(benchmark, name, value)


def test_images_and_text_are_measured_beside_the_plain_way(tmp_path):
    rng = np.random.default_rng(0)
    for index in range(8):
        (tmp_path / "images" / "ab"[index % 2]).mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (60, 80, 3), np.uint8)
        PIL.Image.fromarray(pixels).save(tmp_path / "images" / "ab"[index % 2] / f"{index}.jpg")
    (tmp_path / "text.tsv").write_text(
        "text\tlabel\n" + "".join(f"{'a b ' * (i % 9 + 1)}\t{i % 2}\n" for i in range(90))
    )
    (tmp_path / "vocab.txt").write_text(
        "".join(f"{w}\n" for w in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"))
    )
    config = configuration.merge(
        configuration.default(), {"data": {"text": {"tokenizer": str(tmp_path), "buckets": 3}}}
    )
    before = os.environ.get(VARIABLE)
    measured = benchmark.bench_input(config, [f"folder:{tmp_path}/images", f"tsv:{tmp_path}/text.tsv"])
    assert os.environ.get(VARIABLE) == before
    rows = {row["what"]: row for row in measured["rows"]}
    assert len(rows) == 13
    assert all(row["value"] >= 0 for row in rows.values())
    decoded = [row for row in rows.values() if "ratio" in row]
    assert len(decoded) == 2
    assert all(row["ratio"] == pytest.approx(row["value"] / row["plain"]) for row in decoded)
    padding = {
        what.split("padding, ")[1].split(",")[0]: row["value"] for what, row in rows.items() if "padding" in what
    }
    assert padding["packed"] < padding["padded"]
    assert padding["buckets"] < padding["padded"]
    shares = [row["value"] for row in rows.values() if row["unit"] == "of its time"]
    assert len(shares) == 3
    assert all(share > 0 for share in shares)
    text = benchmark.format_input(measured)
    assert all(what in text for what in rows)


def test_text_without_a_tokenizer_is_refused(tmp_path):
    (tmp_path / "text.tsv").write_text("text\tlabel\na\t0\nb\t1\n")
    with pytest.raises(InputError, match="no tokenizer to measure text with"):
        benchmark.bench_input(configuration.default(), [f"tsv:{tmp_path}/text.tsv"])
