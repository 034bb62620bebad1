"""The files of an audit."""

import json

from tests.audit.planted import images, scene, texts
from tlj.audit.audit import audit_source
from tlj.audit.files import write_audit


def test_the_report_and_its_page_are_written_and_replaced(tmp_path):
    made = images([scene(i) for i in range(12)], [scene(50)])
    report = audit_source(made, made.parts)
    for _ in range(2):
        page = write_audit(report, tmp_path / "new" / "audit", made)
    assert page == tmp_path / "new" / "audit" / "audit.html"
    assert json.loads((page.parent / "audit.json").read_text("utf-8"))["verdict"] == report["verdict"]
    text = page.read_text("utf-8")
    assert report["verdict"] in text
    assert text.count("<img") == 12


def test_names_that_no_encoding_holds_are_written_all_the_same(tmp_path):
    made = texts(["a \ud800", "ünïcode"], ["b"], classes=("half \ud83d", "b"))
    page = write_audit(audit_source(made, made.parts), tmp_path, made)
    assert "ünïcode" in page.read_text("utf-8")
    assert json.loads((tmp_path / "audit.json").read_text("utf-8"))
