"""A vector of each item's text, by what `text.vectors` names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from towermill.columns import ITEM_ID, RAW_PREFIX, VECTOR
from towermill.errors import DataError
from towermill.workflows.text.config import LSA, TextConfig
from towermill.workflows.text.joined import joined
from towermill.workflows.text.lsa import lsa_vectors
from towermill.workflows.text.sentences import sentence_vectors


def text_vectors(texts: pl.Series, source: str) -> NDArray[np.float32]:
    """Return (n, width) float32: of the sentence model `source`, or of the texts' own words."""
    return lsa_vectors(texts) if source == LSA else sentence_vectors(texts, source)


def check_text(table: pl.LazyFrame | None, config: TextConfig) -> None:
    """Raise `DataError` if `text.vectors` is set and the source's items lack its columns."""
    if config.vectors is None:
        return
    if table is None:
        raise DataError(
            "`text.vectors` makes vectors of the items' text; the source has no items table. Give "
            "it one, or leave `text.vectors` out."
        )
    joined(_raw(table, config, head=0), config)


def add_vectors(items: Path, table: pl.LazyFrame, config: TextConfig) -> None:
    """Add ``vector``, and the text as ``raw_<name>``, to the processed items of interactions.

    Parameters
    ----------
    items
        ``items.parquet`` as `process` wrote it.
    table
        The source's items, with the columns that `config` names: see `check_text`.
    config
        The recipe's `text` section, of which `vectors` is set.
    """
    known = pl.read_parquet(items)
    key = RAW_PREFIX + ITEM_ID
    rows = known.select(key).join(_raw(table, config), on=key, how="left", maintain_order="left")
    vectors = text_vectors(joined(rows, config), str(config.vectors))
    column = pl.Series(VECTOR, vectors, dtype=pl.Array(pl.Float32, vectors.shape[1]))
    # The text too, if no feature has brought it: a run that continues this one makes vectors anew.
    texts = [rows[name] for name in rows.columns if name not in known.columns]
    known.with_columns(column, *texts).write_parquet(items)


def _raw(table: pl.LazyFrame, config: TextConfig, head: int | None = None) -> pl.DataFrame:
    """Return the ids and text columns of the items that have them, as ``raw_<name>``."""
    held = table.collect_schema().names()
    rows = table.select(ITEM_ID, *(name for name in config.columns if name in held))
    if head is not None:
        rows = rows.head(head)
    return rows.collect().rename(lambda name: RAW_PREFIX + name)
