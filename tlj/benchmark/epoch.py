"""One epoch of text as a fresh process meets it: opened, tokenised, and read batch by batch.

``python -m tlj.benchmark.epoch BATCH LENGTH DATA TOKENIZER`` prints JSON; the last two are JSON too.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import sys
import time
from typing import Any

import numpy as np

from tlj.data.order import BatchOrder, LengthOrder
from tlj.data.settings import BATCHING, DataSettings, Reading
from tlj.data.sources import open_source
from tlj.data.text import TextPreprocessing
from tlj.data.tokens.reader import padding_of

# More ids than any tokenizer has.
_VOCABULARY = 2**31 - 1


def main(batch_size: int, length: int, data: dict[str, Any], tokenizer: list[list[str]]) -> None:
    """Opens, tokenises and reads an epoch, and prints its seconds, its examples and what each way of batching pads.

    Args:
      batch_size: examples per batch.
      length: most tokens of an example.
      data: ``config.data``.
      tokenizer: its files, as (name, path) pairs.
    """
    reading = Reading(
        buckets=data["text"]["buckets"], tokenizer=tuple((name, pathlib.Path(path)) for name, path in tokenizer)
    )
    begin = time.perf_counter()
    source = open_source(DataSettings.of(data))
    preprocessing, count = TextPreprocessing(length, _VOCABULARY), len(source.labels)
    reader, steps = source.reader(preprocessing, reading), count // batch_size
    stream = BatchOrder(np.arange(count), batch_size, 0, steps)
    order = LengthOrder(stream, reader.lengths, count=count, batch_size=batch_size, seed=0)
    for step in range(steps):
        reader.batch(order[step])
    seconds = time.perf_counter() - begin
    padding = []
    for batching in BATCHING:
        reader = source.reader(preprocessing, dataclasses.replace(reading, batching=batching))
        batches = order if reader.by_length else stream
        padding.append(
            (f"{batching}, batches of {batch_size}", padding_of(reader, map(batches.__getitem__, range(steps))))
        )
    print(json.dumps({"seconds": seconds, "examples": count, "padding": padding}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3]), json.loads(sys.argv[4]))
