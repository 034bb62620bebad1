"""The report as a whole: what is written, that it repeats, and that a browser shows it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tlj.errors import InputError
from tlj.evidence.report import write_report

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
]
ROOT = Path(__file__).parents[2]
ACCELERATOR = {"jax", "jaxlib", "flax", "orbax", "optax", "tensorflow", "torch"}


def test_a_report_is_a_page_a_summary_and_figures(reported):
    written = {str(path.relative_to(reported)) for path in reported.rglob("*") if "runs" not in path.parts}
    assert {"report.html", "summary.json", "figures/label_efficiency.png", "figures/label_efficiency.pdf"} <= written
    assert not any(name.endswith(".partial") for name in written)


def test_the_page_is_under_three_megabytes(reported):
    assert (reported / "report.html").stat().st_size < 3_000_000


def test_a_second_report_has_the_same_bytes(reported):
    names = ["report.html", "summary.json", "figures/paired_difference.pdf", "figures/effective_data.png"]
    before = [(reported / name).read_bytes() for name in names]
    write_report(str(reported))
    assert [(reported / name).read_bytes() for name in names] == before


def test_a_report_reads_run_files_and_leaves_them_alone(comparison_directory, reported):
    for path in comparison_directory.rglob("*"):
        if path.is_file():
            assert (reported / path.relative_to(comparison_directory)).read_bytes() == path.read_bytes()


def test_an_unfinished_comparison_has_a_report(make_comparison, tmp_path):
    directory = make_comparison(tmp_path / "c", budgets=(10, 25), seeds=(0, 1), unfinished=lambda arm, b, s: s == 1)
    assert "Unfinished." in write_report(directory).read_text()
    empty = make_comparison(tmp_path / "d", unfinished=lambda *key: True, step_time=False)
    assert "Undecided: no transferred arm" in write_report(empty).read_text()
    assert json.loads((empty / "summary.json").read_text())["cells"] == []


def test_a_directory_that_is_no_comparison_gets_no_report(tmp_path):
    with pytest.raises(InputError, match="not a comparison"):
        write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_evidence_imports_no_accelerator():
    code = "import sys, tlj.evidence.report; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "tlj.evidence.report" in loaded
    assert not ACCELERATOR & loaded


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_renders_in_a_browser(reported, tmp_path, scheme):
    shot = tmp_path / "page.png"
    dark = ["--blink-settings=preferredColorScheme=0"] if scheme == "dark" else []
    subprocess.run(
        [CHROMIUM, *FLAGS, *dark, f"--user-data-dir={tmp_path}/profile", f"--screenshot={shot}"]
        + ["--window-size=1200,3000", f"file://{reported}/report.html"],
        capture_output=True,
        check=True,
        timeout=120,
    )
    pixels = np.asarray(Image.open(shot).convert("RGB"), np.int16)
    assert pixels.shape == (3000, 1200, 3)
    background = pixels[5, 5]
    assert (background.mean() > 200) == (scheme == "light")
    differs = np.abs(pixels - background).max(axis=2) > 60
    # Text and figures are on every part of the page, and nothing runs over its sides.
    assert all(differs[i : i + 500].mean() > 0.01 for i in range(0, 3000, 500))
    assert not differs[:, :60].any()
    assert not differs[:, -60:].any()
