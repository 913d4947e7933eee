"""The text of an item: its text columns, joined."""

from __future__ import annotations

import polars as pl

from towermill.columns import RAW_PREFIX
from towermill.errors import DataError, did_you_mean
from towermill.workflows.text.config import TextConfig


def joined(articles: pl.DataFrame, config: TextConfig) -> pl.Series:
    """Return each article's text: the columns joined by blanks, missing ones left out."""
    held = [n.removeprefix(RAW_PREFIX) for n in articles.columns if n.startswith(RAW_PREFIX)]
    for name in config.columns:
        if name not in held:
            raise DataError(
                f"`text.columns` names {name!r}, which the items lack."
                f"{did_you_mean(name, held)} They have: {', '.join(held)}."
            )
        if (kind := articles.schema[RAW_PREFIX + name]).is_nested():
            raise DataError(
                f"`text.columns` names {name!r}, which should hold single values. Its type is "
                f"{kind}. Take another column, or join its values in the raw data."
            )
    columns = [pl.col(RAW_PREFIX + name).cast(pl.String) for name in config.columns]
    text = pl.concat_str(columns, separator=" ", ignore_nulls=True).str.strip_chars()
    return articles.select(text.fill_null("").alias("text")).to_series()
