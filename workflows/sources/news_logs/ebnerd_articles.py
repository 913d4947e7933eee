"""EB-NeRD's articles, and the vectors that are given of them."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from towermill.columns import ITEM_ID, PUBLISHED, VECTOR
from towermill.errors import DataError
from towermill.features.config import Feature, Features
from towermill.features.shared.times import time_expr
from towermill.workflows.sources.news_logs.parts import first_of_each
from towermill.workflows.sources.reading.casting import id_expr, require
from towermill.workflows.sources.reading.files import scan

_ARTICLE_ID = "article_id"
_TEXTS = pl.List(pl.String)
#: Under their own names. `total_inviews` and its like are none of these: they tell of the test.
_COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "title": pl.String,
    "subtitle": pl.String,
    "body": pl.String,
    "category": pl.String,
    "subcategory": pl.List(pl.Int64),
    "topics": _TEXTS,
    "ner_clusters": _TEXTS,
    "entity_groups": _TEXTS,
    "premium": pl.Boolean,
    "article_type": pl.String,
    "sentiment_label": pl.String,
    "sentiment_score": pl.Float32,
}
#: How likely an article is of each sentiment; together 1, null where it is not told.
SENTIMENTS = ("sentiment_negative", "sentiment_neutral", "sentiment_positive")
#: What is proposed.
ITEM_FEATURES: Features = {
    "title": Feature(kind="title"),
    "category": Feature(),
    "sentiment_label": Feature(),
    # Shares of one: as they are.
    **{name: Feature(kind="number", normalize=False) for name in SENTIMENTS},
}


def read_articles(files: list[Path]) -> pl.LazyFrame:
    """Return the articles of all `files`, of duplicates the first file's row."""
    return first_of_each([_read(file) for file in files], ITEM_ID)


def _read(file: Path) -> pl.LazyFrame:
    raw = scan([file])
    what = str(file)
    require(raw.collect_schema().names(), [_ARTICLE_ID], what)
    names = raw.collect_schema().names()
    columns = [id_expr(raw, _ARTICLE_ID, what).alias(ITEM_ID)]
    if "published_time" in names:
        columns.append(time_expr(raw, "published_time", what).alias(PUBLISHED))
    for name, kind in _COLUMNS.items():
        if name in names:
            source = "category_str" if name == "category" and "category_str" in names else name
            columns.append(pl.col(source).cast(kind).alias(name))
    if {"sentiment_label", "sentiment_score"} <= set(names):
        columns += _sentiments()
    else:
        columns += [pl.lit(None, pl.Float32).alias(name) for name in SENTIMENTS]
    return raw.select(columns)


def _sentiments() -> list[pl.Expr]:
    """Return the three likelihoods of a label and its score, which is the label's own likelihood.

    The score is no scale from negative to positive: what it leaves is shared by the other two.
    """
    label = pl.col("sentiment_label").cast(pl.String).str.to_lowercase()
    score = pl.col("sentiment_score").cast(pl.Float32).fill_nan(None).clip(0.0, 1.0)
    told = label.is_in([name.removeprefix("sentiment_") for name in SENTIMENTS])
    found = []
    for name in SENTIMENTS:
        own = label == name.removeprefix("sentiment_")
        likely = pl.when(own).then(score).otherwise((1 - score) / 2)
        found.append(pl.when(told).then(likely).alias(name))
    return found


def read_vectors(files: list[Path]) -> pl.LazyFrame:
    """Return item_id and vector (list of Float32) of those articles that have one.

    Raises
    ------
    DataError
        A file has no ``article_id``, or not exactly one column of lists of floats.
    """
    raw = scan(files)
    what = str(files[0])
    require(raw.collect_schema().names(), [_ARTICLE_ID], what)
    lists = [name for name, kind in raw.collect_schema().items() if _holds_floats(kind)]
    if len(lists) != 1:
        found = ", ".join(f"{name} ({kind})" for name, kind in raw.collect_schema().items())
        raise DataError(
            f"{what} should have, besides {_ARTICLE_ID!r}, one column of lists of floats. "
            f"Found: {found}."
        )
    vector = pl.col(lists[0])
    if isinstance(raw.collect_schema()[lists[0]], pl.Array):
        vector = vector.arr.to_list()
    return raw.select(
        id_expr(raw, _ARTICLE_ID, what).alias(ITEM_ID),
        vector.cast(pl.List(pl.Float32)).alias(VECTOR),
    ).filter(pl.col(VECTOR).is_not_null())


def _holds_floats(kind: pl.DataType) -> bool:
    return isinstance(kind, pl.List | pl.Array) and kind.inner.is_float()
