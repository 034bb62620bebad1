"""Examples as a page can hold them: images as small JPEGs in the page itself, texts cut to a length."""

from __future__ import annotations

import base64
import functools
import io
from collections.abc import Mapping, Sequence

from PIL import Image

from tlj.audit.contents import contents
from tlj.data.decode import decode
from tlj.data.sources import Source
from tlj.errors import InputError

_SIDE = 120
_QUALITY = 80
_CHARACTERS = 400


class Pictures:
    """Shows examples of a source by their ids.

    Args:
      source: that the ids are of.
    """

    def __init__(self, source: Source):
        self._items = contents(source)
        self._places = {name: index for index, name in enumerate(source.ids)}
        self.image = functools.cache(self._image)

    def _image(self, name: str) -> str:
        """Returns an example as ``data:image/jpeg;base64,...``; empty where there is none that can be shown."""
        try:
            content = self._items[self._places[name]]
            if isinstance(content, bytes):
                image = decode(content, name, lambda edges: (min(edges[0], 2 * _SIDE), min(edges[1], 2 * _SIDE))).image
            else:
                image = Image.fromarray(content)
        except (InputError, KeyError):
            return ""
        image.thumbnail((_SIDE, _SIDE))
        file = io.BytesIO()
        image.save(file, "JPEG", quality=_QUALITY)
        return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"

    def text(self, name: str) -> Sequence[str]:
        """Returns the text of an example, or the two of a pair, each cut to a few lines; nothing if there is none."""
        try:
            texts = self._items[self._places[name]]
        except (InputError, KeyError):
            return ()
        return [text if len(text) <= _CHARACTERS else text[:_CHARACTERS] + "…" for text in texts]


def examples_by_class(
    labels: Sequence[int], ids: Sequence[str], members: Sequence[int], most_classes: int, each: int
) -> Mapping[int, list[str]]:
    """Returns the ids of a few examples of each class, spread over the data, of the first classes.

    Args:
      labels: of every example of the source.
      ids: likewise.
      members: indices to choose among.
      most_classes: classes to show.
      each: examples of a class.
    """
    of_class: dict[int, list[int]] = {}
    for index in members:
        of_class.setdefault(int(labels[index]), []).append(int(index))
    chosen = {}
    for label in sorted(of_class)[:most_classes]:
        found = of_class[label]
        shown = min(each, len(found))
        chosen[label] = [ids[found[at * len(found) // shown]] for at in range(shown)]
    return chosen
