"""Sources whose arrays are there: they are their own readers."""

import numpy as np

from tlj.data.settings import Reading
from tlj.data.sources import open_reader, open_source


def test_a_fixed_source_reads_itself_and_shares_the_batch_over_processes():
    source = open_source("digits:5-9")
    reader = open_reader(source, source.preprocessing, Reading())
    assert reader is source
    assert (source.kind, source.parts, source.groups, source.skipped) == ("images", {}, (), ())
    indices = np.array([7, 3, 9, 1])
    whole = reader.batch(indices)
    for name, array in whole.items():
        halves = [reader.batch(indices, rows)[name] for rows in (slice(0, 2), slice(2, 4))]
        np.testing.assert_array_equal(np.concatenate(halves), array)


def test_drawn_examples_share_a_batch_too():
    source = open_source("synthetic_text:8x3")
    assert (source.kind, source.by_length, source.in_memory) == ("text", False, True)
    whole, second = source.batch(np.array([7, 3, 9])), source.batch(np.array([7, 3, 9]), slice(1, 2))
    for name, array in whole.items():
        np.testing.assert_array_equal(second[name], array[1:2])
