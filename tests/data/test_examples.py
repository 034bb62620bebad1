"""A source over items, and what is left when some are left out."""

import dataclasses

import numpy as np

from tlj.data.examples import Chosen, Examples
from tlj.data.image_reader import ImageReader
from tlj.data.images import Preprocessing
from tlj.data.settings import Reading, Skipped


@dataclasses.dataclass(frozen=True)
class Squares:
    """Images whose pixels are their number."""

    count: int

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return np.full((4, 4, 3), index, np.uint8)

    def where(self, index):
        return f"square {index}"


def squares():
    parts = {"train": np.array([0, 2, 4, 5]), "test": np.array([3, 1])}
    labels = np.array([0, 1, 0, 1, 0, 1], np.int32)
    return Examples(
        "squares", "images", ("a", "b"), labels, tuple("abcdef"), Squares(6), "hash", parts, tuple("uvwxyz")
    )


def test_what_is_left_keeps_its_labels_names_groups_and_places():
    found = squares().without({2: Skipped("square 2", "broken"), 3: Skipped("square 3", "broken")})
    assert (found.ids, found.groups, found.labels.tolist()) == (tuple("abef"), tuple("uvyz"), [0, 1, 0, 1])
    assert {name: part.tolist() for name, part in found.parts.items()} == {"train": [0, 2, 3], "test": [1]}
    assert [int(found.items[i][0, 0, 0]) for i in range(len(found.items))] == [0, 1, 4, 5]
    assert [found.items.where(i) for i in (0, 3)] == ["square 0", "square 5"]
    assert [one.where for one in found.skipped] == ["square 2", "square 3"]


def test_nothing_left_out_is_the_same_source():
    source = squares()
    assert source.without({}) is source


def test_items_may_be_chosen_in_any_order_and_again():
    chosen = Chosen(Chosen(Squares(6), np.array([5, 3, 1])), np.array([2, 0]))
    assert (len(chosen), chosen.where(0), int(chosen[1][0, 0, 0])) == (2, "square 1", 5)


def test_images_are_read_by_an_image_reader():
    reader = squares().reader(Preprocessing(4, (0.5,) * 3, (0.5,) * 3), Reading())
    assert isinstance(reader, ImageReader)
    assert reader.batch(np.array([4, 1]))["image"][:, 0, 0, 0].tolist() == [4, 1]
