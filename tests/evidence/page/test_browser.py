"""The page as a browser has it: no word on its console, no request to anywhere, every figure and table."""

import json
import re
import shutil
import subprocess
import urllib.parse

import pytest

from tlj.evidence.page.sections import SECTIONS

CHROMIUM = shutil.which("chromium")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *(
        "--disable-background-networking",
        "--disable-component-update",
        "--enable-logging=stderr",
        "--v=0",
        "--dump-dom",
    ),
]
# What the browser asks for itself, whatever page it shows.
OWN = (".google.com", ".googleapis.com", ".gvt1.com")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH")


def visit(page, folder):
    """Opens a page and returns its document, what came to its console, and the addresses that were asked for."""
    log = folder / "net.json"
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={folder}/profile", f"--log-net-log={log}", f"file://{page}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    # The log of a browser that ended at once lacks its end.
    addresses = re.findall(r'"url":("(?:[^"\\]|\\.)*")', log.read_text())
    hosts = {urllib.parse.urlsplit(json.loads(address)).hostname for address in addresses}
    return done.stdout, console, {host for host in hosts if host and not f".{host}".endswith(OWN)}


def test_what_these_tests_look_for_would_be_found(tmp_path):
    bad = tmp_path / "bad.html"
    bad.write_text('<script>console.error("x")</script><img src="http://example.org/a.png">')
    _, console, hosts = visit(bad, tmp_path)
    assert '"x"' in console[0]
    assert hosts == {"example.org"}


def test_the_page_is_whole_and_silent(reported, tmp_path):
    document, console, hosts = visit(reported / "report.html", tmp_path)
    assert console == []
    assert hosts == set()
    summary = json.loads((reported / "summary.json").read_text())
    drawn = {path.stem for path in (reported / "figures").glob("*.png")}
    assert {"label_efficiency", "paired_difference", "effective_data", "pareto", "reliability"} <= drawn
    assert drawn <= {name for section in SECTIONS for name in section.figures}
    # Each figure stands twice, for wide and for narrow screens.
    assert len(re.findall(r"<svg\b", document)) == 2 * len(drawn)
    for heading in ("curve", "verdicts", "effective", "cost", "claims", "reproduce", "notes"):
        assert f'id="{heading}"' in document
    assert len(re.findall(r"<table\b", document)) == len(re.findall(r"<caption\b", document)) >= 8
    assert document.count("<h1>") == 1
    assert all(cell["path"] in document for cell in summary["cells"])
