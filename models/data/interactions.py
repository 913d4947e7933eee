"""Read processed interactions: schema, splits, catalogue, queries."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import polars as pl
from merlin.io import Dataset
from merlin.schema import ColumnSchema, Schema, Tags
from merlin.schema.io.tensorflow_metadata import TensorflowMetadata
from numpy.typing import NDArray

from towermill.columns import (
    EVENT_WEIGHT,
    FIRST_ID,
    HISTORY,
    ITEM_ID,
    TRAIN_ROWS,
    USER_ID,
    Events,
)
from towermill.errors import DataError, SchemaError
from towermill.models.data.queries import Queries, queries_of
from towermill.processed import RANKED_SPLITS, ProcessedFolder, Stats

#: Size of a partition, which is shuffled at once.
PARTITION = "256MB"


class Processed:
    """A processed data set, as `process` writes it (read lazily).

    Parameters
    ----------
    path
        The folder with ``schema.pbtxt``.
    """

    events: ClassVar[Events] = "interactions"

    def __init__(self, path: Path) -> None:
        self.path, self.folder = path, ProcessedFolder(path)

    @cached_property
    def stats(self) -> Stats:
        """Statistics of the data from processing."""
        return Stats.read(self.folder)

    @cached_property
    def schema(self) -> Schema:
        """Merlin's schema of the splits."""
        if not self.folder.schema.is_file():
            raise DataError(
                f"Expected a processed data set with {self.folder.schema.name} in {self.path}."
            )
        return read_schema(self.path)

    def column(self, name: str) -> ColumnSchema:
        """Return the schema of an id; raise `SchemaError` if it is not there."""
        if name not in self.schema.column_names:
            raise SchemaError(
                f"The model needs a column {name!r} in the processed schema. Found: "
                f"{', '.join(self.schema.column_names)}. Process the data again with a source that "
                "gives it."
            )
        return self.schema[name]

    @cached_property
    def query_schema(self) -> Schema:
        """The model inputs on the query side: tagged USER or CONTEXT."""
        return select_inputs(self.schema, (Tags.USER, Tags.CONTEXT), USER_ID)

    @cached_property
    def user_schema(self) -> Schema:
        """The model inputs that belong to the user alone: tagged USER."""
        return select_inputs(self.schema, (Tags.USER,), USER_ID)

    @cached_property
    def item_schema(self) -> Schema:
        """The model inputs on the item side: tagged ITEM."""
        return select_inputs(self.schema, (Tags.ITEM,), ITEM_ID)

    @cached_property
    def items(self) -> pl.DataFrame:
        """The catalogue: row i is the item of encoded id ``i + 3``."""
        return pl.read_parquet(self.folder.items)

    @cached_property
    def ranking_order(self) -> NDArray[np.int64]:
        """Row of `items` at each position of the ranked catalogue: a fixed shuffle.

        Ties are broken by position. Encoded ids fall by frequency, so in their order a model that
        scores all items alike would pass for the popularity baseline.
        """
        return np.random.default_rng(0).permutation(self.items.height)

    @cached_property
    def catalogue(self) -> pl.DataFrame:
        """`items` in the order in which they are ranked."""
        return self.items[self.ranking_order]

    @property
    def catalogue_counts(self) -> NDArray[np.int64]:
        """Training rows of each row of `catalogue`, shape ``(items,)``."""
        return self.item_counts[self.ranking_order]

    def positions(self, ids: pl.Series) -> NDArray[np.int64]:
        """Return the position in `catalogue` of encoded item ids."""
        found: NDArray[np.int64] = np.argsort(self.ranking_order)[ids.to_numpy() - FIRST_ID]
        return found

    @cached_property
    def users(self) -> pl.DataFrame:
        """The users seen in training, by encoded id."""
        return pl.read_parquet(self.folder.users)

    @cached_property
    def sequences(self) -> pl.DataFrame:
        """The items of each training user in each split, oldest first: ``user_id``, ``train`` ….

        Raises
        ------
        SchemaError
            `process` wrote none.
        """
        self._require_histories()
        return pl.read_parquet(self.folder.sequences)

    @property
    def has_histories(self) -> bool:
        """Whether the users' histories were written."""
        return self.folder.sequences.is_file()

    @cached_property
    def has_weights(self) -> bool:
        """Whether training rows have weights: the column `EVENT_WEIGHT`."""
        return EVENT_WEIGHT in self.scan("train").collect_schema().names()

    def _require_histories(self) -> None:
        if not self.has_histories:
            raise SchemaError(
                "The model needs the users' histories; the processed data has none. Set "
                "`features.history: true` and process the data again."
            )

    @property
    def history_size(self) -> int:
        """Items that a history holds at most; raise `SchemaError` if there are no histories."""
        self._require_histories()
        return int(self.column(HISTORY).properties["value_count"]["max"])

    def with_history(
        self, rows: pl.DataFrame, split: Literal["train", "validation", "test"]
    ) -> pl.DataFrame:
        """Add each row's ``history``: its user's latest items before a split.

        That is of the splits before it; `rows` of ``train`` get the items of ``train``. Unknown
        users have none. Held-out rows that have a ``history`` of their own, as sessions do, keep
        its known items. Without histories in the processed data, `rows` are returned unchanged.
        """
        if not self.has_histories:
            return rows
        if HISTORY in rows.columns:
            if split != "train":
                known = pl.col(HISTORY).list.filter(pl.element() >= FIRST_ID)
                return rows.with_columns(known.list.tail(self.history_size))
            rows = rows.drop(HISTORY)
        held: list[str] = [name for name in RANKED_SPLITS if name in self.sequences.columns]
        before = held[: max(held.index(split), 1)]
        lists = self.sequences.select(
            USER_ID, pl.concat_list(before).list.tail(self.history_size).alias(HISTORY)
        )
        found = rows.join(lists, on=USER_ID, how="left", maintain_order="left")
        return found.with_columns(pl.col(HISTORY).fill_null(pl.lit([], pl.List(pl.Int32))))

    def query_sample(self, rows: int) -> pl.DataFrame:
        """Return a few rows with the inputs of the query tower."""
        return self.with_history(self.scan("train").head(rows).collect(), "train")

    def held_out_sample(self, rows: int) -> pl.DataFrame:
        """Return a few rows of the test split, likewise."""
        return self.with_history(self.scan("test").head(rows).collect(), "test")

    def has(self, split: str) -> bool:
        """Return whether the split was made and holds rows."""
        return any(self.folder.split(split).glob("*.parquet")) and self.rows(split) > 0

    def rows(self, split: str) -> int:
        """Return the number of rows of a split."""
        return int(self.scan(split).select(pl.len()).collect().item())

    def scan(self, split: str) -> pl.LazyFrame:
        """Return a split's encoded rows."""
        return pl.scan_parquet(self.folder.split(split) / "*.parquet")

    def dataset(self, split: str) -> Dataset:
        """Return a split as a Merlin dataset of the model inputs."""
        schema = Schema([*self.query_schema, *self.item_schema])
        files = sorted(str(p) for p in self.folder.split(split).glob("*.parquet"))
        # Stock Merlin sizes partitions by the machine's memory, and with them the order of rows.
        return Dataset(files, engine="parquet", schema=schema, part_size=PARTITION)

    @cached_property
    def id_counts(self) -> NDArray[np.int64]:
        """Training rows of each encoded item id, unknown ones included: ``(items + 3,)``."""
        counts = self.scan("train").group_by(ITEM_ID).agg(pl.len().alias("rows")).collect()
        out = np.zeros(self.items.height + FIRST_ID, np.int64)
        out[counts[ITEM_ID].to_numpy()] = counts["rows"].to_numpy()
        return out

    def occurrences(self, column: str) -> NDArray[np.int64]:
        """Return how often each encoded id occurs in a column of training, lists' values too."""
        ids = self.scan("train").select(pl.col(self._counted_in(column)).alias("id"))
        if isinstance(ids.collect_schema()["id"], pl.List):
            ids = ids.explode("id", empty_as_null=True).drop_nulls()
        found = ids.group_by("id").len().collect(engine="streaming")
        counts = np.zeros(int(self.schema[column].int_domain.max) + 1, np.int64)
        counts[found["id"].to_numpy()] = found["len"].to_numpy()
        return counts

    def _counted_in(self, column: str) -> str:
        """Return the column of the splits that holds a column's ids."""
        return column

    @property
    def item_counts(self) -> NDArray[np.int64]:
        """Training rows of each row of `items`, of runs before too, shape ``(items,)``."""
        if TRAIN_ROWS in self.items.columns:
            return self.items[TRAIN_ROWS].to_numpy()
        return self.id_counts[FIRST_ID:]

    def queries(
        self,
        split: Literal["validation", "test"],
        by: Literal["user", "interaction"] = "user",
        filter_seen: bool = True,
        segment: Literal["all", "warm", "cold_user"] = "all",
        limit: int = 0,
    ) -> Queries:
        """Return what to rank for on a held-out split.

        Parameters
        ----------
        split
            ``validation`` or ``test``.
        by
            ``user``: one query a user, with all of the user's held-out items relevant and the
            features of the first held-out row. ``interaction``: one query a row.
        filter_seen
            Leave out the items of the user's earlier splits (train; for test, validation as well)
            and of runs that this one continues, from the ranking and from the answers alike.
        segment
            With ``cold: flag``: only rows whose user is, or is not, known from training.
        limit
            Take at most this many queries, always the same sample; 0 takes all.
        """
        return queries_of(self, split, by, filter_seen, segment, limit)

    def seen(self, split: str) -> pl.DataFrame:
        """Return the distinct known (user, item) pairs of earlier splits, and of runs before."""
        earlier = [self.scan("train")]
        if split == "test" and self.has("validation"):
            earlier.append(self.scan("validation"))
        return self._distinct(earlier)

    def met(self) -> pl.DataFrame:
        """Return the distinct known (user, item) pairs of training, and of runs before."""
        return self._distinct([self.scan("train")])

    def _distinct(self, splits: Sequence[pl.LazyFrame]) -> pl.DataFrame:
        known = (pl.col(ITEM_ID) >= FIRST_ID) & (pl.col(USER_ID) >= FIRST_ID)
        pairs = pl.concat([frame.select(USER_ID, ITEM_ID) for frame in splits])
        if (before := self.folder.seen_before).is_file():
            lists = pl.scan_parquet(before).explode(ITEM_ID, empty_as_null=False)
            pairs = pl.concat([pairs, lists.select(USER_ID, ITEM_ID)])
        return pairs.filter(known).unique().collect()


def read_schema(folder: Path) -> Schema:
    """Read ``schema.pbtxt`` from `folder`."""
    return TensorflowMetadata.from_proto_text_file(str(folder)).to_merlin_schema()


def select_inputs(schema: Schema, tags: tuple[Tags, ...], id_column: str) -> Schema:
    """Return the columns that bear one of `tags`.

    Raises
    ------
    SchemaError
        There are none, or the id that names the side is not among them.
    """
    columns = [c for c in schema if any(tag in c.tags for tag in tags)]
    names = [c.name for c in columns]
    if id_column not in names:
        raise SchemaError(
            f"The model needs a column {id_column!r} tagged {' or '.join(t.name for t in tags)} in "
            f"the processed schema. Found: {', '.join(schema.column_names) or 'no columns'}. "
            "Process the data again with a source that gives it."
        )
    return Schema(columns)
