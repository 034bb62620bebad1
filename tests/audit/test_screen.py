"""The audit in a terminal."""

from tests.audit.planted import images, scene, texts
from tlj.audit.audit import audit_source
from tlj.audit.screen import format_audit


def test_the_verdict_comes_first_and_the_copies_are_named():
    made = texts([f"text {i}" for i in range(20)], ["text 3", "x"], test_labels=[0, 1])
    lines = format_audit(audit_source(made, made.parts)).splitlines()
    assert lines[0].startswith("1 of 2 test texts (50 %) is a copy of a training text")
    assert any(line.startswith("!! 1 of 2 test texts") for line in lines)
    assert "test/0 = train/3 (identical; ant, in training bee)" in lines


def test_counts_stand_under_their_splits():
    made = texts([f"one {i} two" for i in range(40)], [f"other {i} two" for i in range(10)])
    screen = format_audit(audit_source(made, made.parts))
    assert "     train  test\nant     20     5\nbee     20     5\nall     40    10" in screen
    assert "lengths   3 to 3 words, median 3, 95 % within 3" in screen


def test_many_classes_and_many_copies_stay_a_screen():
    classes = tuple(f"class {i}" for i in range(100))
    same = [f"text {i}" for i in range(300)]
    screen = format_audit(audit_source(made := texts(same, same, classes=classes), made.parts))
    assert "… 88 more classes" in screen
    assert "… 295 more copies in test" in screen
    assert len(screen.splitlines()) < 50


def test_images_of_one_size_are_said_so():
    made = images([scene(i) for i in range(12)], [scene(20)])
    screen = format_audit(audit_source(made, made.parts))
    assert "sizes     all 96 x 80" in screen
    assert "formats   13 JPEG" in screen


def test_names_cannot_move_the_cursor():
    made = texts(["a", "b"], ["a"], classes=("ant\x1b[2J", "bee"))
    assert "\x1b" not in format_audit(audit_source(made, made.parts))
