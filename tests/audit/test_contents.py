"""The content of any source, and its splits."""

import numpy as np
import pytest

from tests.audit.planted import scene
from tlj import config
from tlj.audit.contents import contents, open_leniently, splits_of
from tlj.data.settings import DataSettings
from tlj.data.sources import open_source
from tlj.errors import InputError


def data(**values) -> dict:
    return dict(config.default().data) | values


@pytest.fixture
def folder(tmp_path):
    for split, count in (("train", 6), ("val", 4)):
        for label, name in enumerate(("ant", "bee")):
            (tmp_path / split / name).mkdir(parents=True)
            for i in range(count):
                scene(100 * label + 10 * (split == "val") + i).save(tmp_path / split / name / f"{i}.png")
    return tmp_path


def test_a_source_of_arrays_has_contents_too():
    images, text = open_source("digits"), open_source("synthetic_text:16x2")
    np.testing.assert_array_equal(contents(images)[3], images.images[3])
    batch = text.batch(np.array([3]))
    ids = batch["input_ids"][0][batch["attention_mask"][0] > 0]
    assert contents(text)[3] == (" ".join(map(str, ids)),)
    assert len(contents(text)) == len(text.labels)
    assert contents(text).where(3) == text.ids[3]


@pytest.mark.filterwarnings("ignore:tlj")
def test_what_the_config_leaves_over_is_audited_too(folder):
    source = open_leniently(DataSettings(f"folder:{folder}"))
    named = splits_of(source, data(train="train", test="val"))
    assert {name: len(part) for name, part in named.items()} == {"train": 12, "test": 8}
    held_out = splits_of(source, data())
    assert list(held_out) == ["train", "test", "val"]
    assert sorted(np.concatenate(list(held_out.values()))) == list(range(20))
    cut = splits_of(source, data(train="train", test="val[:4]"))
    assert len(cut["the rest of val"]) == 4


def test_an_audit_opens_what_a_training_would_refuse(folder):
    (folder / "train" / "ant" / "broken.png").write_bytes(b"\x89PNG broken")
    (folder / "train" / "ant" / "empty.png").write_bytes(b"")
    with pytest.raises(InputError):
        open_source(DataSettings(f"folder:{folder}"))
    source = open_leniently(DataSettings(f"folder:{folder}", skip_limit=1))
    assert sorted(one.where.rpartition("/")[2] for one in source.skipped) == ["broken.png", "empty.png"]
