"""What tells one source from another at the same place."""

import os
import shutil

from tlj.pretrained.identity import content_identity


def test_the_same_content_has_the_same_identity_wherever_it_lies(tmp_path):
    (tmp_path / "a").mkdir()
    for name in ("x", "y"):
        (tmp_path / "a" / name).write_bytes(name.encode() * 5)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    first, second = (content_identity((tmp_path / folder).iterdir()) for folder in "ab")
    assert first == second
    assert len(first) == 12


def test_another_content_another_name_or_another_file_is_another_source(tmp_path):
    file = tmp_path / "weights"
    seen = set()
    for content in (b"one", b"two", b"longer"):
        file.write_bytes(content)
        os.utime(file, ns=(0, len(seen)))
        seen.add(content_identity([file]))
    file.rename(tmp_path / "other")
    seen.add(content_identity([tmp_path / "other"]))
    (tmp_path / "more").write_bytes(b"")
    seen.add(content_identity(tmp_path.iterdir()))
    assert len(seen) == 5


def test_bytes_that_move_from_one_file_to_the_next_are_seen(tmp_path):
    for folder, contents in (("a", (b"12", b"3")), ("b", (b"1", b"23"))):
        (tmp_path / folder).mkdir()
        for name, content in zip("xy", contents, strict=True):
            (tmp_path / folder / name).write_bytes(content)
    assert content_identity((tmp_path / "a").iterdir()) != content_identity((tmp_path / "b").iterdir())
