"""Processing specific to interactions: users and items have their own features."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import polars as pl
from merlin.schema import ColumnSchema, Schema, Tags
from merlin.schema.io.tensorflow_metadata import TensorflowMetadata

from towermill.columns import (
    FIRST_ID,
    HISTORY,
    ID_OF,
    ITEM_ID,
    RAW_PREFIX,
    TIMESTAMP,
    TRAIN_COUNT,
    TRAIN_ROWS,
    USER_ID,
    Entity,
)
from towermill.errors import DataError
from towermill.features.config import Features
from towermill.processed import ProcessedFolder
from towermill.workflows.dataset import open_dataset
from towermill.workflows.graph.build import build_workflow
from towermill.workflows.graph.own import Nodes, build_own_workflow, load_graph, raw_columns, tagged
from towermill.workflows.graph.workflow import Workflow
from towermill.workflows.graph.write import to_table
from towermill.workflows.process.base import EventKind, vocabulary
from towermill.workflows.process.earlier_run import Earlier, over
from towermill.workflows.process.inputs import filled, typed
from towermill.workflows.process.interaction_checks import (
    check_columns,
    check_numbers,
    check_signals,
)
from towermill.workflows.process.interaction_inputs import write_raw_splits
from towermill.workflows.process.replay import replay
from towermill.workflows.process.summary import RawSplits
from towermill.workflows.process.user_lists import write_sequences
from towermill.workflows.selecting.filters import Filters, apply_filters
from towermill.workflows.selecting.signals import listed_values
from towermill.workflows.tables import Tables
from towermill.workflows.text.items import EncodedText, add_vectors, check_text


@dataclass(frozen=True)
class Interactions(EventKind[Tables]):
    """Interactions of users with items.

    Parameters
    ----------
    tables, split, features, text
        See `EventKind`. Text only becomes vectors, if `text.vectors` is set.
    filters
        The section `filters` of the recipe.
    """

    kind: ClassVar[str] = "interactions"
    usual_history: ClassVar[int] = 500

    filters: Filters = field(default_factory=Filters)

    @cached_property
    def _nodes(self) -> Nodes | None:
        """The user's own graph, if the recipe names one."""
        if self.features.graph is None:
            return None
        tables: dict[Entity, pl.LazyFrame | None] = {
            "user": self.tables.users,
            "item": self.tables.items,
            "context": self.tables.interactions,
        }
        return load_graph(self.features.graph, tables)

    @cached_property
    def columns(self) -> dict[Entity, Features]:
        """The features of each entity; with a graph of the user's own, the columns it reads."""
        named = self.features.over(self.tables.features)
        if self._nodes is None:
            return named
        read = raw_columns(self._nodes)
        return {entity: {**read[entity], **own} for entity, own in named.items()}

    def continued(self, before: Earlier) -> Tables:
        """Return the tables with the earlier features, and texts for vectors, that they lack."""
        text = self.text.columns if self.text.vectors else ()
        return replace(
            self.tables,
            users=self._completed("user", self.tables.users, before),
            items=self._completed("item", self.tables.items, before, text),
        )

    def _completed(
        self,
        entity: Entity,
        table: pl.LazyFrame | None,
        before: Earlier,
        text: tuple[str, ...] = (),
    ) -> pl.LazyFrame | None:
        key, own, raw = ID_OF[entity], self.columns[entity], before.raw(entity)
        held = raw.collect_schema().names()
        beside = [name for name in text if name in held and name not in own]
        if not own and not beside:
            return table
        earlier = raw.select(key, *own, *beside)
        if table is None:
            return earlier
        there = table.collect_schema().names()
        wanted = [name for name in beside if name in there]
        return over(typed(table.select(key, *own, *wanted), own, entity), earlier, key)

    def check(self) -> None:
        """Raise `DataError` if features, signals or text columns are not in the tables."""
        check_columns(self.tables, self.columns, self.features.positive)
        check_text(self.tables.items, self.text)

    def write_raw(self, scratch: Path, before: Earlier | None) -> RawSplits:
        """Write each split with its features; the workflow is fitted on ``train``."""
        keys = {
            "filters.min_signal": self.filters.min_signal,
            "split.min_signal": self.split.min_signal,
            "features.positive": self.features.positive,
            "features.weights": listed_values(self.features.weights),
        }
        # New rows of a continued run need not have every value.
        check_signals(self.tables.interactions, keys, values=before is None)
        tables, known = apply_filters(self.tables, self.filters, scratch), None
        if before is not None:  # users and items without new rows keep their ids
            tables = replace(tables, users=self.tables.users, items=self.tables.items)
            known = {key: before.known(entity) for entity, key in ID_OF.items()}
        check_numbers(tables, self.columns)
        weights = self.features.weights
        raw = write_raw_splits(tables, self.columns, self.split, scratch, known, weights)
        return replace(
            raw,
            paths={**raw.paths, "fit": raw.paths["train"]},
            dropped={**tables.dropped, **raw.dropped},
        )

    def build(self, fit: Path, categories: Path) -> Workflow:
        """Return a graph of ``user``, ``item`` and ``context``; other columns pass unchanged."""
        named = [name for own in self.columns.values() for name in own]
        histories = self.split.kind == "session"
        inputs = {USER_ID, ITEM_ID, *named, *([HISTORY] if histories else [])}
        if not self.features.history:  # otherwise it passes on, to order the histories
            inputs.add(TIMESTAMP)
        signals = [name for name in pl.read_parquet_schema(fit) if name not in inputs]
        positive = self.features.positive
        if self._nodes is not None:
            return build_own_workflow(self._nodes, signals, positive, categories)
        ids = {str(name): feature for name, feature in self.features.ids.items()}
        return build_workflow(self.columns, ids, signals, positive, categories, histories)

    def rows(self, workflow: Workflow) -> Workflow:
        """Return the whole workflow."""
        return workflow

    def dated(self, raw: Mapping[str, Path]) -> pl.LazyFrame:
        """Return the training rows."""
        return pl.scan_parquet(raw["train"])

    def write_tables(
        self,
        workflow: Workflow,
        raw: Mapping[str, Path],
        as_of: datetime | None,
        out: ProcessedFolder,
        before: Earlier | None,
    ) -> EncodedText:
        """Write the known users and items, features that depend on time as of `as_of`."""
        scratch = raw["fit"].parent
        tables: dict[Entity, pl.LazyFrame | None]
        tables = {"user": self.tables.users, "item": self.tables.items}
        for entity, table in tables.items():
            encoded = self._encoded(workflow, entity, table, as_of, scratch / f"{entity}s.parquet")
            encoded.write_parquet(out.table(entity))
        if self.text.vectors and self.tables.items is not None:
            add_vectors(out.items, self.tables.items, self.text)
        return EncodedText()

    def _encoded(
        self,
        workflow: Workflow,
        entity: Entity,
        table: pl.LazyFrame | None,
        as_of: datetime | None,
        scratch: Path,
    ) -> pl.DataFrame:
        """Return the known ids, encoded and raw, in the order of encoded ids."""
        key, own = ID_OF[entity], self.columns[entity]
        ids = vocabulary(workflow, key)
        raw = ids.select(key)
        if table is not None:
            rows = typed(table.select(key, *own), own, entity).collect()
            raw = raw.join(rows, on=key, how="left", maintain_order="left")
        part = workflow.get_subworkflow(entity)
        names = part.input_schema.column_names
        inputs = raw.with_columns(
            pl.lit(as_of if name == TIMESTAMP else None).alias(name)
            for name in names
            if name not in raw.columns
        ).select(names)
        filled(inputs.lazy()).sink_parquet(scratch)
        made = [name for name in part.output_schema.column_names if name != key]
        encoded = to_table(part.transform(open_dataset(scratch))).select(key, *made)
        first = encoded[key].item(0) if encoded.height else FIRST_ID
        if entity == "item" and (first != FIRST_ID or encoded[key].n_unique() != encoded.height):
            raise DataError(
                f"Encoded item ids should run from {FIRST_ID} without a gap; found "
                f"{encoded[key].n_unique()} distinct ones from {first} for {encoded.height} items."
            )
        return pl.concat(
            [
                encoded,
                raw.rename({n: RAW_PREFIX + n for n in raw.columns}),
                ids.select(TRAIN_COUNT),
            ],
            how="horizontal",
        )

    def write_histories(self, out: ProcessedFolder, scratch: Path, before: Earlier | None) -> None:
        """Write ``sequences.parquet`` and the users' ``history``, if the recipe asks for them."""
        if not self.features.history:
            return
        earlier = None if before is None else before.folder.sequences
        held = earlier if earlier is not None and earlier.is_file() else None
        write_sequences(out.path, scratch, self.history_size, held)

    def met(self) -> pl.LazyFrame:
        """Return the pairs of the whole log, also of rows that filters or splits leave out."""
        return self.tables.interactions.select(USER_ID, ITEM_ID)

    def schema(self, workflow: Workflow, text: EncodedText, before: Earlier | None) -> Schema:
        """Return the workflow's schema, embedding sizes being those of the earlier run."""
        made = workflow.output_schema
        if self._nodes is not None:
            made = tagged(workflow, self._nodes)
        if self.features.history:
            others = [column for column in made if column.name != HISTORY]
            made = Schema([*others, self._history_column(made[ITEM_ID])])
        if before is None:
            return made
        earlier = TensorflowMetadata.from_proto_text_file(str(before.path)).to_merlin_schema()
        sizes = {c.name: c.properties.get("embedding_sizes") for c in earlier}
        columns = []
        for column in made:
            if found := sizes.get(column.name):
                column = column.with_properties({"embedding_sizes": found})
            columns.append(column)
        return Schema(columns)

    def _history_column(self, item: ColumnSchema) -> ColumnSchema:
        """Return the column of histories: lists of the items' ids.

        It is not tagged as a feature of the user: only models of histories read it.
        """
        longest = {"min": 0, "max": self.history_size}
        return ColumnSchema(
            HISTORY,
            dtype=item.dtype,
            is_list=True,
            is_ragged=True,
            tags=[Tags.CATEGORICAL, Tags.SEQUENCE],
            properties={"domain": item.properties["domain"], "value_count": longest},
        )

    def add_earlier(self, before: Earlier, out: ProcessedFolder, share: float) -> int:
        """Add ``seen_before.parquet``, items' ``train_rows`` and replayed rows."""
        shutil.copy(before.folder.seen, out.seen_before)
        counts = pl.concat([_train_rows(before.folder), _counted_rows(out)])
        summed = counts.group_by(ITEM_ID).agg(pl.col(TRAIN_ROWS).sum())
        items = pl.read_parquet(out.items)
        items = items.join(summed, on=ITEM_ID, how="left", maintain_order="left")
        items.with_columns(pl.col(TRAIN_ROWS).fill_null(0)).write_parquet(out.items)
        return replay(before, out.split("train"), share)


def _train_rows(folder: ProcessedFolder) -> pl.DataFrame:
    """Return the training rows of each encoded item, those of the runs before included."""
    if TRAIN_ROWS in pl.read_parquet_schema(folder.items):
        return pl.read_parquet(folder.items, columns=[ITEM_ID, TRAIN_ROWS])
    return _counted_rows(folder)


def _counted_rows(folder: ProcessedFolder) -> pl.DataFrame:
    """Return the rows of each encoded item in ``train/``, as ``train_rows``."""
    rows = pl.scan_parquet(folder.split("train") / "*.parquet").group_by(ITEM_ID)
    return rows.agg(pl.len().cast(pl.Int64).alias(TRAIN_ROWS)).collect(engine="streaming")
