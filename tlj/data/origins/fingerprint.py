"""The hash of what is used of tables; how rows are cut into chunks in memory does not show in it."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tlj.data.origins.columns import Columns
from tlj.data.origins.index_cache import MOST_HASHED, Hashed, hash_files
from tlj.data.origins.items import image_columns
from tlj.data.origins.labels import Numbered
from tlj.data.origins.rows import Rows
from tlj.data.origins.walk import File


def fingerprint(
    tables: Sequence[Rows],
    columns: Columns,
    numbered: Numbered,
    names: Sequence[Sequence[str]],
    most: int = MOST_HASHED,
) -> Hashed:
    """Returns the hash of classes, labels, ids, groups and content; of much data the sizes of files stand for it.

    Args:
      tables: rows of every file.
      columns: in use.
      numbered: the labels.
      names: ids and groups.
      most: bytes, up to which the contents are read.
    """
    whole = hashlib.sha256(repr((columns.kind, numbered.classes, [(rows.part, rows.name) for rows in tables])).encode())
    whole.update(np.ascontiguousarray(numbered.labels))
    for texts in names:
        _add(whole, pa.chunked_array([pa.array(texts, pa.large_string())]))
    for rows in tables:
        whole.update(np.ascontiguousarray(rows.numbers, np.int64))
    if columns.kind == "text":
        contents = [[rows.column(name) for name in columns.text] for rows in tables]
    else:
        contents = [list(image_columns(rows, columns.image)) for rows in tables]
    size = sum(column.nbytes for held in contents for column in held)
    for rows, held in zip(tables, contents, strict=True):
        if size > most and rows.stamp:
            whole.update(rows.stamp.encode())
            continue
        for column in held:
            _add(whole, column)
    hash_of = "columns" if size <= most else "files and sizes"
    if columns.kind == "images" and (files := _named_files(tables, contents)):
        hashed = hash_files(str(tables[0].folder or "."), files, most)
        whole.update(hashed.digest.encode())
        hash_of = f"columns, {hashed.hash_of} of images"
    return Hashed(whole.hexdigest()[:16], hash_of)


def _add(whole: hashlib._Hash, column: pa.ChunkedArray) -> None:
    lengths, values = hashlib.sha256(), hashlib.sha256()
    for chunk in column.chunks if not pa.types.is_null(column.type) else ():
        chunk = chunk.cast(pa.large_binary())
        lengths.update(np.ascontiguousarray(pc.fill_null(pc.binary_length(chunk), -1).to_numpy(zero_copy_only=False)))
        if chunk.null_count:
            chunk = chunk.drop_null()
        ends = np.frombuffer(chunk.buffers()[1], np.int64)[chunk.offset : chunk.offset + len(chunk) + 1]
        if len(chunk) and chunk.buffers()[2] is not None:
            values.update(memoryview(chunk.buffers()[2])[ends[0] : ends[-1]])
    whole.update(lengths.digest() + values.digest())


def _named_files(tables: Sequence[Rows], contents: Sequence[Sequence[pa.ChunkedArray]]) -> list[File]:
    """The images that lie in files of their own, as far as they are there."""
    files = []
    for rows, (content, path) in zip(tables, contents, strict=True):
        for name in path.filter(content.is_null()).drop_null().to_pylist() if len(path) else ():
            try:
                state = os.stat(os.path.join(rows.folder or ".", name))
            except (OSError, ValueError):
                continue
            # Reading a pipe would wait for ever.
            if stat.S_ISREG(state.st_mode):
                files.append(File(name, state.st_size, state.st_mtime_ns))
    return files
