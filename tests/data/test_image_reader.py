"""Images by index: decoded, resized, kept."""

import functools
import io
import pickle
import threading
import tracemalloc

import numpy as np
import PIL.Image
import pytest

from tlj.data.decode import decode
from tlj.data.examples import Examples
from tlj.data.image_reader import ImageReader
from tlj.data.images import Preprocessing
from tlj.data.resize import resize_image, resized_edges
from tlj.data.settings import Reading
from tlj.errors import InputError

PREPROCESSING = Preprocessing(16, (0.5,) * 3, (0.5,) * 3)


class Pictures(list):
    """Items in memory that count how often each was read."""

    def __init__(self, contents):
        super().__init__(contents)
        self.read = np.zeros(len(self), int)

    def __getitem__(self, index):
        self.read[index] += 1
        return super().__getitem__(index)

    def where(self, index):
        return f"picture {index}"


def picture(index, width=40, height=30, kind="JPEG"):
    noise = np.random.default_rng(index).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    PIL.Image.fromarray(noise).resize((width, height)).save(buffer, kind)
    return buffer.getvalue()


def source_of(contents):
    count = len(contents)
    return Examples(
        "pictures",
        "images",
        ("a", "b"),
        np.arange(count) % 2,
        tuple(map(str, range(count))),
        Pictures(contents),
        "digest",
    )


@pytest.fixture
def source():
    return source_of([picture(i, 40 + i, 30, "PNG" if i % 3 else "JPEG") for i in range(12)])


@pytest.mark.parametrize("memory", [0, 1])
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("fields", [{}, {"resize_to": 20}, {"resample": "bicubic"}])
def test_a_batch_holds_the_resized_images_and_their_labels(source, memory, threads, fields):
    preprocessing = PREPROCESSING.changed(**fields)
    reader = ImageReader(source, preprocessing, Reading(threads=threads, memory=memory))
    indices = np.array([5, 0, 11, 5])
    for _ in range(2):
        batch = reader.batch(indices)
        assert batch.keys() == {"image", "label"}
        assert (batch["image"].dtype, batch["label"].dtype) == (np.uint8, np.int32)
        np.testing.assert_array_equal(batch["label"], indices % 2)
        for image, index in zip(batch["image"], indices, strict=True):
            cover = functools.partial(resized_edges, preprocessing=preprocessing)
            found = decode(source.items[index], "", cover)
            np.testing.assert_array_equal(image, resize_image(found.image, preprocessing, found.edges, found.box))


def test_a_png_is_resized_as_a_whole(source):
    image = ImageReader(source, PREPROCESSING, Reading()).batch(np.array([1]))["image"][0]
    expected = resize_image(PIL.Image.open(io.BytesIO(source.items[1])), PREPROCESSING)
    np.testing.assert_array_equal(image, expected)


def test_a_process_reads_its_rows_only(source):
    reader = ImageReader(source, PREPROCESSING, Reading())
    indices = np.arange(8)
    rows = reader.batch(indices, slice(2, 5))
    np.testing.assert_array_equal(
        rows["image"], ImageReader(source, PREPROCESSING, Reading()).batch(indices)["image"][2:5]
    )
    np.testing.assert_array_equal(rows["label"], [0, 1, 0])


def test_no_row_is_no_image(source):
    for memory in (0, 1):
        batch = ImageReader(source, PREPROCESSING, Reading(memory=memory)).batch(np.arange(4), slice(4, 4))
        assert batch["image"].shape == (0, 16, 16, 3)


def test_pixels_that_come_without_a_file_are_resized_alike():
    array = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    reader = ImageReader(source_of([array, array[:16, :16]]), PREPROCESSING, Reading())
    images = reader.batch(np.arange(2))["image"]
    np.testing.assert_array_equal(images[0], resize_image(PIL.Image.fromarray(array), PREPROCESSING))
    np.testing.assert_array_equal(images[1], array[:16, :16])


def test_what_a_crop_is_cut_from_is_the_whole_image_squashed_with_its_aspect(source):
    preprocessing = PREPROCESSING.changed(resize_to=20)
    reader = ImageReader(source, preprocessing, Reading(crop_from=18))
    for _ in range(2):
        batch = reader.batch(np.array([1, 10]))
        assert batch["image"].shape == (2, 18, 18, 3)
        assert batch["aspect"].dtype == np.float32
        np.testing.assert_allclose(batch["aspect"], [41 / 30, 50 / 30], rtol=1e-6)
    whole = PIL.Image.open(io.BytesIO(source.items[1])).convert("RGB")
    np.testing.assert_array_equal(batch["image"][0], np.asarray(whole.resize((18, 18), PIL.Image.Resampling.BILINEAR)))
    assert reader.preprocessing == preprocessing


def test_an_image_that_is_kept_is_read_once(source):
    reader = ImageReader(source, PREPROCESSING, Reading(memory=1))
    for _ in range(3):
        reader.batch(np.array([3, 4, 4, 7]))
    # The first also tells whether images are so small that one thread is faster.
    assert source.items.read[1:].tolist() == [0, 0, 1, 1, 0, 0, 1, 0, 0, 0, 0]


def test_where_not_all_images_fit_none_is_kept():
    source = source_of([picture(i) for i in range(9)])
    preprocessing = PREPROCESSING.changed(image_size=200)  # nine are 1.03 MiB
    reader = ImageReader(source, preprocessing, Reading(memory=1, threads=1))
    for _ in range(2):
        reader.batch(np.arange(9))
    assert source.items.read.tolist() == [2] * 9
    assert not reader.in_memory
    assert sum(value.nbytes for value in vars(reader).values() if isinstance(value, np.ndarray)) < 1000


@pytest.mark.parametrize("memory", [0, 1])
def test_memory_does_not_grow_from_epoch_to_epoch(source, memory):
    size = 128  # pixels a side, so that images outweigh all else
    reader = ImageReader(source, PREPROCESSING.changed(image_size=size), Reading(threads=2, memory=memory))
    of_arrays = tracemalloc.DomainFilter(inclusive=True, domain=np.lib.tracemalloc_domain)
    held = []
    tracemalloc.start()
    try:
        for _ in range(6):
            for first in range(0, 12, 4):
                reader.batch(np.arange(first, first + 4))
            # What a thread that came too late was asked for holds its batch until the thread takes it from the queue.
            reader._submit(lambda: None).result()
            # Of arrays alone: threads of other libraries allocate what they like.
            arrays = tracemalloc.take_snapshot().filter_traces([of_arrays])
            held.append(sum(trace.size for trace in arrays.traces))
    finally:
        tracemalloc.stop()
    # Less than one image, where an epoch has twelve.
    assert held[-1] - held[1] < size**2 * 3


def test_it_is_in_memory_once_all_that_is_in_use_was_decoded(source):
    reader = ImageReader(source, PREPROCESSING, Reading(memory=1))
    seen = [reader.in_memory]
    for _ in range(2):
        for begin in range(0, 8, 4):
            reader.batch(np.arange(begin, begin + 4))
            seen.append(reader.in_memory)
    assert seen == [False, False, False, False, True]
    for _ in range(3):
        reader.batch(np.arange(8))
    reader.batch(np.arange(6, 10))
    assert not reader.in_memory


def test_a_copy_in_another_process_takes_no_decoded_images_along(source):
    reader = ImageReader(source, PREPROCESSING, Reading(memory=500, threads=2))
    batch = reader.batch(np.arange(12))
    sent = pickle.dumps(reader)
    assert len(sent) < 2 * sum(map(len, source.items)) + 4000
    found = pickle.loads(sent).batch(np.arange(12))
    for name in batch:
        np.testing.assert_array_equal(found[name], batch[name])


def test_threads_that_share_a_reader_get_the_same_images(source):
    expected = ImageReader(source, PREPROCESSING, Reading(memory=0)).batch(np.arange(12))["image"]
    reader, found = ImageReader(source, PREPROCESSING, Reading(memory=1, threads=2)), {}

    def read(name):
        order = np.random.default_rng(name).permutation(12)
        found[name] = reader.batch(order)["image"][np.argsort(order)]

    threads = [threading.Thread(target=read, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in range(4):
        np.testing.assert_array_equal(found[name], expected)


@pytest.mark.parametrize("threads", [1, 2])
def test_an_image_that_cannot_be_read_is_named(threads):
    source = source_of([picture(0), picture(1), b"no image"])
    reader = ImageReader(source, PREPROCESSING, Reading(threads=threads))
    with pytest.raises(InputError, match="^picture 2: "):
        reader.batch(np.arange(3))
    # What could be read is read still.
    assert len(reader.batch(np.arange(2))["image"]) == 2


@pytest.mark.parametrize("threads", [1, 3])
def test_of_several_images_that_cannot_be_read_the_first_of_the_batch_is_named(threads):
    source = source_of([picture(0), b"no image", picture(2), b"none either", b"nor this"])
    reader = ImageReader(source, PREPROCESSING, Reading(threads=threads, memory=0))
    for _ in range(20):
        with pytest.raises(InputError, match="^picture 3: "):
            reader.batch(np.array([0, 2, 3, 4, 1]))


def test_a_batch_is_read_even_while_the_other_threads_are_kept_busy(source):
    reader = ImageReader(source, PREPROCESSING, Reading(threads=2, memory=0))
    expected, release = reader.batch(np.arange(12))["image"], threading.Event()
    busy = reader._submit(lambda: release.wait(60))
    np.testing.assert_array_equal(reader.batch(np.arange(12))["image"], expected)
    assert not busy.done()
    release.set()
    busy.result()


def test_images_are_decoded_by_as_many_threads_as_were_asked_for(source, monkeypatch):
    together, decoders = threading.Barrier(3, timeout=60), set()

    def decoding(*args):
        decoders.add(threading.get_ident())
        together.wait()
        return decode(*args)

    monkeypatch.setattr("tlj.data.image_reader.decode", decoding)
    ImageReader(source, PREPROCESSING, Reading(threads=3, memory=0)).batch(np.arange(12))
    assert len(decoders) == 3


@pytest.mark.parametrize("labels", [np.eye(3, dtype=np.int8), np.array([0.5, 2, -1], np.float32)])
def test_labels_that_are_sets_or_numbers_come_as_they_are(labels):
    source = Examples("s", "images", (), labels, "abc", Pictures([picture(i) for i in range(3)]), "d")
    found = ImageReader(source, PREPROCESSING, Reading()).batch(np.array([2, 0]))["label"]
    np.testing.assert_array_equal(found, labels[[2, 0]])
    assert found.dtype == labels.dtype
