"""What the segments before the pixels of a JPEG say, read in microseconds where they say nothing unusual.

Pillow reads them too, but in so much Python that threads which decode wait for each other's.
"""

from __future__ import annotations

import struct

_START = b"\xff\xd8"
_START_OF_SCAN = 0xFFDA
# Baseline, extended and progressive.
_FRAMES = frozenset((0xFFC0, 0xFFC1, 0xFFC2))
# Tables, JFIF, colour profiles, Adobe's and comments. Not APP1: that alone may hold an orientation.
_OTHERS = frozenset((0xFFC4, 0xFFDB, 0xFFDD, 0xFFE0, 0xFFE2, 0xFFEC, 0xFFED, 0xFFEE, 0xFFFE))
_SEGMENT, _FRAME = struct.Struct(">HH"), struct.Struct(">BHHB")


def plain_edges(content: bytes) -> tuple[int, int] | None:
    """Returns the width and height in pixels of an ordinary JPEG: grey or of three colours, with 8 bits, and upright.

    Args:
      content: of a file.

    Returns:
      None for what is no JPEG, for one with metadata that may turn it, and for anything else that is not ordinary.
    """
    if not content.startswith(_START):
        return None
    place, edges = len(_START), None
    try:
        while True:
            marker, length = _SEGMENT.unpack_from(content, place)
            if marker == _START_OF_SCAN:
                return edges
            if marker in _FRAMES and edges is None:
                bits, height, width, colours = _FRAME.unpack_from(content, place + _SEGMENT.size)
                if bits != 8 or colours not in (1, 3):
                    return None
                edges = width, height
            elif marker not in _OTHERS:
                return None
            # The length counts its own two bytes, not those of the marker; one below two ends at what is no marker.
            place += 2 + length
    except struct.error:
        return None
