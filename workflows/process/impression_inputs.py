"""The raw impressions of each split, histories and articles, as NVTabular reads them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from towermill.columns import (
    CLICKED,
    HIDDEN,
    HISTORY,
    HISTORY_ID,
    IMPRESSION_ID,
    INVIEW,
    ITEM_ID,
    LABELS,
    SPLIT,
    TIMESTAMP,
    USER_ID,
    Entity,
)
from towermill.errors import DataError
from towermill.features.config import Features
from towermill.workflows.process.inputs import filled, typed, with_columns
from towermill.workflows.process.summary import RawSplits
from towermill.workflows.selecting.counts import Splits, count_all
from towermill.workflows.selecting.split import Split, split
from towermill.workflows.tables import ImpressionTables, sink


def write_raw_impressions(
    tables: ImpressionTables,
    features: Mapping[Entity, Features],
    config: Split,
    history_size: int,
    folder: Path,
) -> RawSplits:
    """Write what the workflow reads: each split, histories, and all that it is fitted on.

    Each file has every column of ``fit``; those that it has nothing for are null, or empty lists.

    The vocabulary of article ids is fitted on all articles, so that new ones can be recommended.
    Statistics of their features (means, deviations, category frequencies) come from training alone:
    from the articles that training impressions show or whose reading they look up, one row for each
    distinct article. Other articles are in ``fit`` with their id, without features.

    Parameters
    ----------
    features
        For ``item`` and ``context``: the columns that the workflow takes as features.
    history_size
        Keep at most this many articles, the last ones.
    folder
        Where the files, and meanwhile what the split needs, are written.

    Returns
    -------
    RawSplits
        ``train``, ``validation``, ``test`` and ``hidden`` as far as they are there, ``histories``
        (row 0 the empty one), ``trained_on`` (the ids of the articles in training), and ``fit``:
        the training impressions, the histories they look up, and all articles.

    Raises
    ------
    DataError
        See `split_impressions`; or a column cannot be of its feature's kind.
    """
    context, own = features.get("context", {}), features.get("item", {})
    impressions = typed(tables.impressions, context, "context").select(
        IMPRESSION_ID,
        TIMESTAMP,
        USER_ID,
        (pl.col(HISTORY_ID).cast(pl.Int32) + 1).fill_null(0),
        pl.col(INVIEW).list.drop_nulls(),
        CLICKED,
        *(n for n, f in context.items() if f.encoder.is_input),
        *([SPLIT] if SPLIT in tables.impressions.collect_schema() else []),
    )
    found = split_impressions(labelled(impressions), config, folder)
    parts = found.parts
    read = tables.histories.sort(HISTORY_ID).select(
        pl.col(HISTORY_ID).cast(pl.Int32) + 1,
        pl.col(HISTORY).list.drop_nulls().list.tail(history_size),
    )
    empty = pl.LazyFrame({HISTORY_ID: [0], HISTORY: [[]]}, schema_overrides=read.collect_schema())
    used = read.join(parts["train"].select(HISTORY_ID).unique(), on=HISTORY_ID, how="semi")
    paths = {
        name: folder / f"{name}.parquet" for name in (*parts, "histories", "trained_on", "fit")
    }
    shown = [parts["train"].select(INVIEW), used.select(HISTORY)]
    met = [frame.select(pl.first().explode().alias(ITEM_ID)).drop_nulls() for frame in shown]
    sink(pl.concat(met).unique(), paths["trained_on"])
    fit_on = [parts["train"], used.select(HISTORY)]
    if tables.items is not None:
        fit_on.append(_articles(tables.items, own, pl.scan_parquet(paths["trained_on"])))
    whole = filled(pl.concat(fit_on, how="diagonal"))
    sink(with_columns(whole, {ITEM_ID: _inner(tables.impressions, INVIEW)}), paths["fit"])
    types = pl.read_parquet_schema(paths["fit"])
    for name, frame in {**parts, "histories": pl.concat([empty, read])}.items():
        sink(filled(with_columns(frame, types)), paths[name])
    return RawSplits(paths, found.counts, found.dropped)


def _articles(items: pl.LazyFrame, features: Features, trained_on: pl.LazyFrame) -> pl.LazyFrame:
    """Return all ids, and the features of those trained on."""
    wanted = {n: f for n, f in features.items() if f.encoder.is_input}
    articles = typed(items.select(ITEM_ID, *wanted), wanted, "item")
    found = articles.join(trained_on, on=ITEM_ID, how="semi", maintain_order="left")
    return articles.select(ITEM_ID).join(found, on=ITEM_ID, how="left", maintain_order="left")


def labelled(impressions: pl.LazyFrame) -> pl.LazyFrame:
    """Return the impressions with ``labels``, and ``clicked`` restricted to shown items."""
    schema = pl.Schema({**impressions.collect_schema(), LABELS: pl.List(pl.Int8)})
    return impressions.map_batches(_labelled, schema=schema, streamable=True)


def _labelled(rows: pl.DataFrame) -> pl.DataFrame:
    numbered = rows.select(INVIEW, CLICKED).with_row_index("row")
    shown = numbered.select("row", pl.col(INVIEW).alias(ITEM_ID)).explode(
        ITEM_ID, empty_as_null=False, keep_nulls=False
    )
    clicked = numbered.select("row", pl.col(CLICKED).alias(ITEM_ID)).explode(
        ITEM_ID, empty_as_null=False, keep_nulls=False
    )
    marked = shown.join(
        clicked.unique().with_columns(pl.lit(1, pl.Int8).alias(LABELS)),
        on=["row", ITEM_ID],
        how="left",
        maintain_order="left",
    )
    lists = marked.group_by("row", maintain_order=True).agg(
        pl.col(LABELS).fill_null(0), pl.col(ITEM_ID).filter(pl.col(LABELS) == 1).alias(CLICKED)
    )
    found = numbered.select("row").join(lists, on="row", how="left", maintain_order="left")
    return rows.with_columns(found[CLICKED], found[LABELS])


def split_impressions(impressions: pl.LazyFrame, config: Split, folder: Path) -> Splits:
    """Return ``train``, ``validation``, ``test`` and, where the source has some, ``hidden``.

    Hidden ones are those of the source's split ``hidden``. New users are kept.

    Raises
    ------
    DataError
        The source's own parts are asked for and it has none, or a split is empty.
    """
    told, hidden = impressions, None
    if SPLIT in impressions.collect_schema():
        is_hidden = pl.col(SPLIT) == HIDDEN
        told, hidden = impressions.filter(~is_hidden), impressions.filter(is_hidden)
    elif config.kind == "given":
        raise DataError(
            "`split.kind: given` needs a source that has parts; this one has none. Use "
            "`split.kind: time`."
        )
    found = split(told, config.model_copy(update={"cold": "keep"}), folder)
    counts = found.counts
    if hidden is not None and (counted := count_all(hidden)).rows:
        parts, counts = {HIDDEN: hidden, **found.parts}, {**counts, HIDDEN: counted}
    else:
        parts = found.parts
    parts = {name: part.drop(SPLIT, strict=False) for name, part in parts.items()}
    return Splits(parts, counts, found.dropped)


def _inner(frame: pl.LazyFrame, name: str) -> Any:
    return frame.collect_schema()[name].inner  # type: ignore[attr-defined]
