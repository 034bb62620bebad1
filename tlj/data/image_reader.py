"""Images by index, decoded in threads, as the square of bytes that a model takes; kept where memory allows."""

from __future__ import annotations

import concurrent.futures
import functools
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import PIL.Image
from jaxtyping import Int, UInt8

from tlj.data.decode import Decoded, decode
from tlj.data.examples import Content, Examples
from tlj.data.images import Preprocessing
from tlj.data.label_kinds import as_held
from tlj.data.resize import resize_image, resized_edges
from tlj.data.settings import Reading
from tlj.data.threads import thread_count

# Threads that decode images of fewer bytes wait for each other's Python: measured, two take twice as long as one.
_SMALL = 16 * 2**10
Pixels = UInt8[np.ndarray, "size size 3"]


class ImageReader:
    """The ``Reader`` of images. A copy in another process starts with nothing decoded.

    With ``reading.crop_from`` the whole image is squashed into a square of so many pixels, and ``aspect`` tells its
    shape: a random crop is cut from that on the device.

    Decoded images are kept all or not at all: an array for every image of the source is reserved once if
    ``reading.memory`` allows, and its memory is used as they are read; so memory does not grow from epoch to epoch.

    Args:
      source: its images.
      preprocessing: of the model.
      reading: threads, memory, and what crops are cut from.
    """

    lengths: ClassVar[None] = None
    by_length: ClassVar[bool] = False

    def __init__(self, source: Examples, preprocessing: Preprocessing, reading: Reading):
        self.preprocessing = preprocessing
        self._items, self._labels = source.items, as_held(source.labels)
        self._reading = reading
        self._target = _squashed(preprocessing, reading.crop_from) if reading.crop_from else preprocessing
        self._prepare()

    def _prepare(self) -> None:
        self._pool: concurrent.futures.ThreadPoolExecutor | None = None
        self._since_decoding = 0
        count, size = len(self._labels), self._target.image_size
        self._keeps = count * size * size * 3 <= self._reading.memory * 2**20
        # Not zeros: pages that nothing was written to take no memory.
        self._images = np.empty((count if self._keeps else 0, size, size, 3), np.uint8)
        self._aspects = np.empty(count if self._keeps else 0, np.float32)
        self._held = np.zeros(count if self._keeps else 0, bool)

    def __getstate__(self) -> dict[str, Any]:
        kept = ("preprocessing", "_items", "_labels", "_reading", "_target")
        return {name: getattr(self, name) for name in kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._prepare()

    @property
    def in_memory(self) -> bool:
        """Whether the last images, as many as are held, were all at hand: those now in use are not decoded again."""
        return 0 < np.count_nonzero(self._held) <= self._since_decoding

    def batch(self, indices: Int[np.ndarray, " batch"], rows: slice = slice(None)) -> dict[str, np.ndarray]:
        """Returns ``image`` and ``label`` of the examples at ``indices[rows]``, and ``aspect`` where crops are cut.

        Args:
          indices: of a global batch.
          rows: of it that this process reads.

        Raises:
          InputError: for an image that cannot be read.
        """
        wanted = np.asarray(indices)[rows]
        images, aspects = self._kept(wanted) if self._keeps else self._decoded(wanted)
        batch = {"image": images, "label": self._labels[wanted]}
        return {**batch, "aspect": aspects} if self._reading.crop_from else batch

    def _kept(self, wanted: Int[np.ndarray, " rows"]) -> tuple[np.ndarray, np.ndarray]:
        missing = np.unique(wanted[~self._held[wanted]])
        if len(missing):
            self._images[missing], self._aspects[missing] = self._decoded(missing)
            # Last: another thread may look at any time. Two that decode the same image write the same bytes.
            self._held[missing] = True
            self._since_decoding = 0
        else:
            self._since_decoding += len(wanted)
        return self._images[wanted], self._aspects[wanted]

    def _decoded(self, wanted: Int[np.ndarray, " rows"]) -> tuple[np.ndarray, np.ndarray]:
        size = self._target.image_size
        images, aspects = np.empty((len(wanted), size, size, 3), np.uint8), np.empty(len(wanted), np.float32)

        # Each thread takes the next image when it is done with one: photographs take very unlike times.
        positions, failures = iter(range(len(wanted))), {}

        def read() -> None:
            for position in positions:
                try:
                    images[position], aspects[position] = self._read(int(wanted[position]))
                except Exception as error:
                    failures[position] = error
                if failures:
                    return

        others = [self._submit(read) for _ in range(min(self._threads, len(wanted)) - 1)]
        read()
        for other in others:
            # One that did not begin, because its thread reads another batch, has nothing left to do.
            if not other.cancel():
                other.result()
        if failures:
            # All before it were taken before it, and read: which one is named does not depend on the threads.
            raise failures[min(failures)]
        return images, aspects

    def _submit(self, read: Callable[[], None]) -> concurrent.futures.Future[None]:
        if self._pool is None:
            self._pool = concurrent.futures.ThreadPoolExecutor(self._threads - 1, thread_name_prefix="tlj-decode")
        return self._pool.submit(read)

    @functools.cached_property
    def _threads(self) -> int:
        if not self._reading.threads and _bytes(self._items[0]) < _SMALL:
            return 1
        return thread_count(self._reading.threads)

    def _read(self, index: int) -> tuple[Pixels, float]:
        item = self._items[index]
        if isinstance(item, bytes):
            cover = functools.partial(resized_edges, preprocessing=self._target)
            found = decode(item, self._items.where(index), cover)
        else:
            image = PIL.Image.fromarray(item)
            found = Decoded(image, image.size)
        width, height = found.edges
        return resize_image(found.image, self._target, found.edges, found.box), width / height


def _bytes(item: Content) -> int:
    return item.nbytes if isinstance(item, np.ndarray) else len(item)


def _squashed(preprocessing: Preprocessing, size: int) -> Preprocessing:
    """The same filter, but the whole image in a square."""
    return preprocessing.changed(image_size=size, resize_to=0)
