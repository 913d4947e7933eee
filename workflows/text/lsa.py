"""Vectors of texts by their own words alone: TF-IDF and a truncated SVD."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

#: Most numbers a vector, and most words that count, the ones in most texts.
_WIDTH, _WORDS = 128, 4096
#: Texts whose rows are held at a time.
_BLOCK = 4096


def lsa_vectors(texts: pl.Series) -> NDArray[np.float32]:
    """Return latent semantic vectors (Deerwester et al., JASIS 1990).

    Words are separated by blanks and punctuation, and in lower case. A word's weight is 1 + log
    of its frequency in the text, times log of all texts over those that hold it; rows have
    length 1 before and after they are projected on the greatest singular directions.

    Parameters
    ----------
    texts
        Strings; null counts as empty.

    Returns
    -------
    (n, width) float32, of width 128 or as few as there are words; zeros for a text without words.
    """
    counts = _counts(texts)
    words = counts.group_by("word").agg(pl.len().alias("texts"))
    words = words.filter(pl.col("texts") > 1).sort("texts", "word", descending=[True, False])
    words = words.head(_WORDS).with_row_index("column")
    if words.is_empty():
        return np.zeros((len(texts), 1), np.float32)
    share = pl.lit(len(texts)) / pl.col("texts")
    cells = counts.join(words, on="word").select(
        "row", "column", value=(1 + pl.col("count").log()) * (share + 1).log()
    )
    cells = cells.sort("row", "column")
    gram = np.zeros((words.height, words.height))
    for block in _blocks(cells, len(texts), words.height):
        gram += block.T @ block
    width = min(_WIDTH, words.height)
    directions = np.linalg.eigh(gram)[1][:, ::-1][:, :width].astype(np.float32)
    parts = [_unit(block @ directions) for block in _blocks(cells, len(texts), words.height)]
    return np.concatenate(parts)


def _counts(texts: pl.Series) -> pl.DataFrame:
    """Return row, word and count."""
    found = texts.fill_null("").str.to_lowercase().str.extract_all(r"[\p{L}\p{N}]+").alias("word")
    frame = pl.DataFrame({"row": pl.int_range(len(texts), eager=True), "word": found})
    frame = frame.explode("word", empty_as_null=False).drop_nulls()
    return frame.group_by("row", "word").agg(pl.len().alias("count"))


def _blocks(cells: pl.DataFrame, rows: int, columns: int) -> Iterator[NDArray[np.float32]]:
    """Yield the rows of the matrix at length 1, some at a time."""
    row = cells["row"].to_numpy()
    column, value = cells["column"].to_numpy(), cells["value"].to_numpy()
    for start in range(0, rows, _BLOCK):
        end = min(start + _BLOCK, rows)
        own = slice(*np.searchsorted(row, [start, end]))
        block = np.zeros((end - start, columns), np.float32)
        block[row[own] - start, column[own]] = value[own]
        yield _unit(block)


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(length > 0, length, 1), np.float32)
