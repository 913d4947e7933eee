"""Processing specific to impressions: histories, and articles with their text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import ClassVar

import polars as pl
from merlin.schema import Schema

from towermill.columns import (
    CLICKED,
    FIRST_ID,
    HIDDEN,
    HISTORY,
    HISTORY_ID,
    IMPRESSION_ID,
    INVIEW,
    ITEM_ID,
    LABELS,
    PUBLISHED,
    RAW_PREFIX,
    TIMESTAMP,
    TOKENS,
    TRAIN_COUNT,
    USER_ID,
    VECTOR,
    Entity,
)
from towermill.errors import RecipeError
from towermill.features.config import Features
from towermill.processed import ProcessedFolder
from towermill.workflows.config import check_for_impressions
from towermill.workflows.dataset import open_dataset
from towermill.workflows.graph.build import build_impression_workflow
from towermill.workflows.graph.workflow import Workflow
from towermill.workflows.graph.write import to_table
from towermill.workflows.process.base import EventKind, vocabulary
from towermill.workflows.process.earlier_run import Earlier, over
from towermill.workflows.process.impression_inputs import write_raw_impressions
from towermill.workflows.process.inputs import filled, lacks_column, typed, with_columns
from towermill.workflows.process.replay import replay
from towermill.workflows.process.summary import RawSplits
from towermill.workflows.tables import ImpressionTables, sink
from towermill.workflows.text.items import EncodedText, encode_articles

#: What passes through the workflow unchanged.
_PASSED = (IMPRESSION_ID, HISTORY_ID, TIMESTAMP, LABELS)
_TAKEN = (*_PASSED, USER_ID, ITEM_ID, INVIEW, CLICKED, HISTORY, PUBLISHED, TOKENS, VECTOR)


@dataclass(frozen=True)
class Impressions(EventKind[ImpressionTables]):
    """Impressions of articles, the histories that they look up, and the articles' text."""

    kind: ClassVar[str] = "impressions"
    usual_history: ClassVar[int] = 20

    def continued(self, before: Earlier) -> ImpressionTables:
        """Return the tables with the earlier articles, and their given vectors, that they lack."""
        tables, items = self.tables, before.raw("item")
        if items.collect_schema().names() == [ITEM_ID]:
            return tables
        known = before.table("item")
        held = known.collect_schema().names()
        if PUBLISHED in held:
            items = pl.concat([items, known.select(PUBLISHED)], how="horizontal")
        vectors = tables.vectors
        if self.text.vectors is None and VECTOR in held:
            had = known.select(
                pl.col(RAW_PREFIX + ITEM_ID).alias(ITEM_ID), pl.col(VECTOR).arr.to_list()
            )
            some = pl.col(VECTOR).list.eval(pl.element() != 0).list.any()
            vectors = over(vectors, had.filter(some), ITEM_ID)
        return replace(tables, items=over(tables.items, items, ITEM_ID), vectors=vectors)

    def check(self) -> None:
        """Refuse what these impressions do not have.

        Raises
        ------
        DataError
            A feature's column is missing.
        RecipeError
            A section asks for what no impressions have.
        """
        check_for_impressions(self.features, self.split)
        _check(self.tables, self.columns)

    def write_raw(self, scratch: Path, before: Earlier | None) -> RawSplits:
        """Write splits, histories, and what the workflow is fitted on."""
        size = self.history_size
        return write_raw_impressions(self.tables, self.columns, self.split, size, scratch)

    def build(self, fit: Path, categories: Path) -> Workflow:
        """Return a graph of ``impression``, ``history`` and ``item``."""
        ids = {str(name): feature for name, feature in self.features.ids.items()}
        return build_impression_workflow(self.columns, ids, _PASSED, categories)

    @property
    def parts(self) -> dict[str, str]:
        """The source's parts; with another split than ``given``, only that without clicks."""
        parts, given = self.tables.parts, self.split.kind == "given"
        return {name: split for name, split in parts.items() if given or split == HIDDEN}

    def rows(self, workflow: Workflow) -> Workflow:
        """Return the part of impressions."""
        return workflow.get_subworkflow("impression")

    def dated(self, raw: Mapping[str, Path]) -> pl.LazyFrame:
        """Return all impressions."""
        return self.tables.impressions

    def write_tables(
        self,
        workflow: Workflow,
        raw: Mapping[str, Path],
        as_of: datetime | None,
        out: ProcessedFolder,
        before: Earlier | None,
    ) -> EncodedText:
        """Write histories, articles with their text, and users with their latest history."""
        _encoded(workflow, "history", raw["histories"], [HISTORY]).write_parquet(out.histories)
        articles = _articles(self.tables, workflow, self.columns["item"], raw["fit"])
        given = None if self.tables.vectors is None else self.tables.vectors.collect()
        trained_on = pl.read_parquet(raw["trained_on"])[ITEM_ID]
        met = articles[RAW_PREFIX + ITEM_ID].is_in(trained_on.implode())
        words = None if before is None else before.folder.text
        made = encode_articles(articles, met, given, self.text, out.text, words)
        articles = articles.with_columns(made.columns).join(
            _clicks(out, before), on=ITEM_ID, how="left", maintain_order="left"
        )
        articles.with_columns(pl.col(TRAIN_COUNT).fill_null(0)).write_parquet(out.items)
        _write_users(self.tables, workflow, out, before)
        return made

    def met(self) -> pl.LazyFrame:
        """Return all that users have read or clicked, in any split."""
        lists = ((self.tables.histories, HISTORY), (self.tables.impressions, CLICKED))
        return pl.concat(
            frame.select(USER_ID, pl.col(name).alias(ITEM_ID)).explode(ITEM_ID).drop_nulls()
            for frame, name in lists
        )

    def schema(self, workflow: Workflow, text: EncodedText, before: Earlier | None) -> Schema:
        """Return the schema of all tables: lists with their lengths, and what text became."""
        columns = []
        for column in workflow.output_schema:
            if column.name == HISTORY:
                longest = {"min": 0, "max": self.history_size}
                column = column.with_properties({"value_count": longest})
            columns.append(column)
        return Schema([*columns, *text.schema])

    def add_earlier(self, before: Earlier, out: ProcessedFolder, share: float) -> int:
        """Replay earlier impressions; their histories are appended to the new ones."""
        own = pl.read_parquet(out.histories)
        behind: list[pl.DataFrame] = []

        def adapt(rows: pl.DataFrame) -> pl.DataFrame:
            used = rows[HISTORY_ID].unique().sort()
            behind.append(pl.read_parquet(before.folder.histories)[used])
            place = used.search_sorted(rows[HISTORY_ID]) + own.height
            return rows.with_columns(place.cast(pl.Int32).alias(HISTORY_ID))

        replayed = replay(before, out.split("train"), share, adapt)
        pl.concat([own, *behind]).write_parquet(out.histories)
        return replayed


def _check(tables: ImpressionTables, features: Mapping[Entity, Features]) -> None:
    """Refuse what these impressions do not have, before any work."""
    frames: dict[Entity, pl.LazyFrame | None] = {
        "item": tables.items,
        "context": tables.impressions,
    }
    for entity, frame in frames.items():
        held = [] if frame is None else frame.collect_schema().names()
        for name, feature in features[entity].items():
            if feature.encoder.needs_timestamp:
                raise RecipeError(
                    f"`features.{entity}.{name}` should not be of kind {feature.kind}: impressions "
                    "do not have it. For the age of articles, set `model.age: true`."
                )
            if name in _TAKEN:
                raise RecipeError(
                    f"`features.{entity}` should not name {name!r}, a column that every source of "
                    "impressions has."
                )
            if name not in held:
                raise lacks_column(entity, name, held)


def _encoded(workflow: Workflow, part: str, raw: Path, columns: Iterable[str]) -> pl.DataFrame:
    table = to_table(workflow.get_subworkflow(part).transform(open_dataset(raw)))
    return table.select(columns)


def _articles(
    tables: ImpressionTables, workflow: Workflow, features: Features, fit: Path
) -> pl.DataFrame:
    """Return the known articles by encoded id: encoded and raw features, and the raw text columns.

    All columns of the items table are kept as ``raw_<name>``.
    """
    ids = vocabulary(workflow, ITEM_ID).select(ITEM_ID)
    raw = ids
    if tables.items is not None:
        raw = ids.join(tables.items.collect(), on=ITEM_ID, how="left", maintain_order="left")
    wanted = [n for n, f in features.items() if f.encoder.is_input]
    inputs = typed(raw.lazy().select(ITEM_ID, *wanted), features, "item")
    path = fit.with_name("articles.parquet")
    sink(filled(with_columns(inputs, pl.read_parquet_schema(fit))), path)
    encoded = _encoded(workflow, "item", path, [ITEM_ID, *wanted])
    published = [raw[PUBLISHED]] if PUBLISHED in raw.columns else []
    return pl.concat(
        [
            encoded.with_columns(published),
            raw.drop(PUBLISHED, strict=False).rename(
                {n: RAW_PREFIX + n for n in raw.columns if n != PUBLISHED}
            ),
        ],
        how="horizontal",
    )


def _clicks(out: ProcessedFolder, before: Earlier | None) -> pl.DataFrame:
    """Return each clicked article, encoded, and its clicks, earlier ones included."""
    clicked = pl.scan_parquet(out.split("train") / "*.parquet").select(
        pl.col(CLICKED).explode(empty_as_null=False).alias(ITEM_ID)
    )
    counts = clicked.group_by(ITEM_ID).agg(pl.len().cast(pl.Int64).alias(TRAIN_COUNT))
    if before is not None:
        parts = [counts, before.table("item").select(ITEM_ID, TRAIN_COUNT)]
        counts = pl.concat(parts).group_by(ITEM_ID).agg(pl.col(TRAIN_COUNT).sum())
    return counts.collect()


def _write_users(
    tables: ImpressionTables, workflow: Workflow, out: ProcessedFolder, before: Earlier | None
) -> None:
    known = vocabulary(workflow, USER_ID)
    latest = tables.histories.group_by(USER_ID).agg(pl.col(HISTORY_ID).max() + 1).collect()
    raw = known.join(latest, on=USER_ID, how="left", maintain_order="left")
    read = pl.read_parquet(out.histories)[raw[HISTORY_ID].fill_null(0)]
    if before is not None:  # who has no history in the new data has the one of before
        had = before.table("user").select(HISTORY).collect()
        had = pl.concat([had, read[had.height :]])
        without = raw[HISTORY_ID].is_null()
        read = read.with_columns(
            pl.when(without).then(had[HISTORY]).otherwise(read[HISTORY]).alias(HISTORY)
        )
    ids = pl.int_range(FIRST_ID, FIRST_ID + raw.height, dtype=pl.Int32, eager=True)
    raw.select(
        ids.alias(USER_ID),
        read[HISTORY],
        pl.col(USER_ID).alias(RAW_PREFIX + USER_ID),
        TRAIN_COUNT,
    ).write_parquet(out.users)
