"""The plain way to read photographs, to measure against: Pillow's open, convert and resize, one file after another.

``python -m tlj.benchmark.plain_loop SIZE FILTER`` takes a JSON list of paths in a line, reads the first of them, says
``ready``, waits for another line, reads them all, and prints the seconds that this took.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import PIL.Image

# What ``Image.resize`` takes when it is told nothing.
DEFAULT = "bicubic"


def main(size: int, resample: str) -> None:
    """Reads every file that standard input names, into an array of its own, and prints the seconds.

    Args:
      size: pixels a side.
      resample: Pillow's filter.
    """
    files, how = json.loads(sys.stdin.readline()), PIL.Image.Resampling[resample.upper()]

    def read(file: str) -> None:
        with PIL.Image.open(file) as image:
            np.asarray(image.convert("RGB").resize((size, size), how))

    # Pillow imports its decoders when it opens a first file.
    read(files[0])
    print("ready", flush=True)
    sys.stdin.readline()
    begin = time.perf_counter()
    for file in files:
        read(file)
    print(time.perf_counter() - begin)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
