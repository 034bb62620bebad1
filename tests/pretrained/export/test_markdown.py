"""Text from outside, shown in Markdown as what it is."""

import pytest

from tlj.pretrained.export.markdown import code, place


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cat", "`cat`"),
        ("<script>alert(1)</script>", "`<script>alert(1)</script>`"),
        ("[x](javascript:y) **b** | c", "`[x](javascript:y) **b** | c`"),
        ("a`b", "``a`b``"),
        ("``", "``` `` ```"),
        ("`<b>", "`` `<b> ``"),
        ("two\nlines\r# heading", "`two lines # heading`"),
        ("\u202egpj.exe\x00", "`gpj.exe`"),
        ("\ud800x", "`x`"),
        ("a\u2028b", "`a b`"),
        ("", "(no name)"),
        ("\n", "(no name)"),
        (7, "`7`"),
        ("x" * 200, f"`{'x' * 117}...`"),
    ],
)
def test_a_text_is_one_code_span_whatever_is_in_it(text, shown):
    assert code(text) == shown


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/home/someone/models/vit", "vit"),
        ("~/models/vit/", "vit"),
        ("../elsewhere/vit", "vit"),
        ("C:\\models\\vit", "vit"),
        ("runs/source", "runs/source"),
        ("google/vit-base-patch16-224", "google/vit-base-patch16-224"),
        ("/cache/models--google--vit--b/snapshots/abc123/model.safetensors", "google/vit--b@abc123"),
        ("digits:5-9", "digits:5-9"),
        ("", ""),
    ],
)
def test_a_path_is_shown_without_the_machine_it_is_on(path, shown):
    assert place(path) == shown
