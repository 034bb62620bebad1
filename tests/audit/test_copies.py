"""Groups of equal content."""

import hypothesis
import numpy as np
from hypothesis import strategies as st

from tlj.audit.copies import MEANINGS, same_content


@hypothesis.settings(derandomize=True, deadline=None, max_examples=60)
@hypothesis.given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), max_size=20))
def test_the_partner_is_the_first_training_example_of_the_same_content(rows):
    contents, in_train = ([row[k] for row in rows] for k in (0, 1))
    copies = same_content("identical", contents, np.array(in_train, bool))
    for at, content in enumerate(contents):
        expected = [i for i, (other, train) in enumerate(rows) if other == content and train]
        assert copies.partner[at] == (expected[0] if expected else -1)
        assert (copies.groups == copies.groups[at]).tolist() == [other == content for other in contents]


def test_fingerprints_of_64_bits_are_told_apart():
    copies = same_content("identical", [2**64 - 1, 2**64 - 2, 2**63, 2**63 + 1], np.ones(4, bool))
    assert len(set(copies.groups)) == 4


def test_every_kind_has_a_meaning():
    assert set(MEANINGS) == {"identical", "same pixels", "normalised", "near", "mirrored"}
