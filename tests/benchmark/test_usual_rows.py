import types

import numpy as np

from tlj.benchmark.usual_rows import usual_rows


def test_one_image_stands_for_all_and_has_the_shapes_of_a_batch(one_run):
    setup = one_run()
    rows, batch = usual_rows(setup), setup.batches[0]
    assert {name: (a.shape, a.dtype) for name, a in rows.items()} == {n: (a.shape, a.dtype) for n, a in batch.items()}
    assert all(array.strides[0] == 0 for array in rows.values())
    assert np.array_equal(rows["image"][0], rows["image"][-1])


def test_texts_are_read_where_their_shapes_depend_on_each_other(one_run):
    setup = one_run()
    by_length = types.SimpleNamespace(
        training_reader=types.SimpleNamespace(by_length=True), usual_batch=setup.usual_batch, mesh=setup.mesh
    )
    assert usual_rows(by_length) is setup.usual_batch
