"""Read processed impressions: catalogue, histories, slates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Final

import numpy as np
import polars as pl
from merlin.schema import ColumnSchema, Schema, Tags
from numpy.typing import NDArray

from towermill.columns import (
    FIRST_ID,
    HISTORY,
    HISTORY_ID,
    IMPRESSION_ID,
    INVIEW,
    ITEM_ID,
    LABELS,
    PUBLISHED,
    TIMESTAMP,
    TOKENS,
    TRAIN_COUNT,
    USER_ID,
    VECTOR,
    Events,
)
from towermill.errors import RecipeError, SchemaError
from towermill.models.data.interactions import Processed
from towermill.processed import TextStats

#: The column of an article's age at the end of the data: see `age_buckets`.
AGE: Final = "age"
#: Upper bounds, in hours, of all age buckets but the last; bucket 0 means an unknown age.
AGE_HOURS: Final = (0.5, 1, 2, 3, 4, 6, 8, 12, 18, 24, 36, 48, 72, 168)


@dataclass(frozen=True)
class Slates:
    """Ragged impressions, as arrays.

    Attributes
    ----------
    impression_ids
        As the source has them.
    users, histories
        int32 ``(impressions,)``: encoded user, and row of `ImpressionData.histories`.
    times
        datetime64 ``(impressions,)``, in microseconds.
    items
        int32 ``(entries,)``: encoded ids of the items shown, one impression after another.
    offsets
        int64 ``(impressions + 1,)``.
    clicked
        bool ``(entries,)``; False throughout where clicks are withheld.
    """

    impression_ids: pl.Series
    users: NDArray[np.int32]
    histories: NDArray[np.int32]
    times: NDArray[np.datetime64]
    items: NDArray[np.int32]
    offsets: NDArray[np.int64]
    clicked: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.users)

    @property
    def rows(self) -> NDArray[np.int64]:
        """The impression of each entry, int64 ``(entries,)``."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    @property
    def rankable(self) -> NDArray[np.bool_]:
        """Impressions with something clicked and something not, ``(impressions,)``."""
        clicks = np.bincount(self.rows[self.clicked], minlength=len(self))
        return (clicks > 0) & (clicks < np.diff(self.offsets))

    def sample(self, limit: int) -> Slates:
        """Return at most `limit` impressions, always the same ones; all for 0.

        They are drawn from all: those that are not `rankable` take their share.
        """
        if not 0 < limit < len(self):
            return self
        chosen = np.zeros(len(self), bool)
        chosen[np.random.default_rng(0).choice(len(self), limit, replace=False)] = True
        return self.where(chosen)

    def where(self, chosen: NDArray[np.bool_]) -> Slates:
        """Return the impressions that are chosen."""
        entries = np.repeat(chosen, np.diff(self.offsets))
        lengths = np.diff(self.offsets)[chosen]
        return Slates(
            self.impression_ids.filter(pl.Series(chosen)),
            self.users[chosen],
            self.histories[chosen],
            self.times[chosen],
            self.items[entries],
            np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            self.clicked[entries],
        )


class ImpressionData(Processed):
    """Processed impressions, as `process` writes them (read lazily)."""

    events: ClassVar[Events] = "impressions"

    @cached_property
    def query_schema(self) -> Schema:
        """The one input of a query: the reading history."""
        return Schema([self.list_column(HISTORY)])

    @cached_property
    def item_schema(self) -> Schema:
        """Columns of `items` that a model may take."""
        columns = [c for c in self.schema if Tags.ITEM in c.tags]
        if PUBLISHED in self.items.columns:
            domain = {"domain": {"min": 0, "max": len(AGE_HOURS) + 1, "name": AGE}}
            tags = [Tags.ITEM, Tags.CATEGORICAL]
            columns.append(ColumnSchema(AGE, dtype=np.int32, tags=tags, properties=domain))
        return Schema(columns)

    @cached_property
    def items(self) -> pl.DataFrame:
        """The catalogue: row i is the article of encoded id ``i + 3``."""
        items = pl.read_parquet(self.folder.items)
        if PUBLISHED not in items.columns:
            return items
        age = age_buckets(self.as_of - _moments(items[PUBLISHED]))
        return items.with_columns(pl.Series(AGE, age))

    @property
    def as_of(self) -> np.datetime64:
        """The moment of the last impression."""
        return np.datetime64(self.stats.as_of, "us")

    @property
    def text_stats(self) -> TextStats:
        """Counts of the text; raise `SchemaError` if there is no text."""
        if self.stats.text is None:
            raise SchemaError(
                "The model needs the text of articles; the processed data has none. Use a source "
                "whose items have text, and name its columns in `text.columns`."
            )
        return self.stats.text

    @property
    def history_size(self) -> int:
        """Articles that a history holds at most."""
        return _longest(self.list_column(HISTORY))

    @property
    def title_size(self) -> int:
        """Tokens that an article's text holds at most."""
        return _longest(self.list_column(TOKENS))

    @cached_property
    def tokens(self) -> NDArray[np.int32]:
        """Tokens by encoded id, int32 ``(items + 3, title_size)``, padded with 0."""
        self.list_column(TOKENS)
        return self._by_id(padded(self.items[TOKENS], self.title_size))

    @cached_property
    def vectors(self) -> NDArray[np.float32]:
        """Content vectors by encoded id, float32 ``(items + 3, dim)``; zeros if there is none."""
        if VECTOR not in self.items.columns:
            raise SchemaError(
                "A `content` model and intra-list diversity need item vectors; the processed data "
                "has none. Set `text.vectors` to a sentence model's name or folder, or "
                "`source.vectors` where the source has them."
            )
        return self._by_id(self.items[VECTOR].to_numpy())

    def categories(self, name: str) -> NDArray[np.int32]:
        """Return an article's category by encoded id, int32 ``(items + 3,)``; unknown ones 2."""
        found = self._by_id(self.items[name].to_numpy().astype(np.int32))
        found[:FIRST_ID] = range(FIRST_ID)
        return found

    @cached_property
    def histories(self) -> NDArray[np.int32]:
        """Encoded ids read, int32 ``(histories, history_size)``, padded with 0 at the end.

        Row 0 is the empty history.
        """
        return padded(self._read[HISTORY], self.history_size)

    @cached_property
    def _read(self) -> pl.DataFrame:
        return pl.read_parquet(self.folder.histories, columns=[HISTORY])

    @cached_property
    def published(self) -> NDArray[np.datetime64] | None:
        """When each encoded id came out, ``(items + 3,)``, NaT if unknown; None if all are."""
        if PUBLISHED not in self.items.columns or not self.items[PUBLISHED].count():
            return None
        unknown = np.full(FIRST_ID, np.datetime64("NaT", "us"))
        return np.concatenate([unknown, _moments(self.items[PUBLISHED])])

    def ages(self, slates: Slates) -> NDArray[np.int32]:
        """Return `age_buckets` of each entry at its impression, int32 ``(entries,)``."""
        if self.published is None:
            raise SchemaError(
                "`model.age` needs the moment each article came out; the source has none. Set "
                "`model.age: false`."
            )
        return age_buckets(slates.times[slates.rows] - self.published[slates.items])

    @cached_property
    def click_rate(self) -> float:
        """Clicks a shown article in training, between 0 and 1."""
        labels = self.scan("train").select(pl.col(LABELS).explode(empty_as_null=False) > 0)
        rate = labels.mean().collect(engine="streaming").item()
        return min(max(float(rate or 0.5), 1e-6), 1 - 1e-6)

    @cached_property
    def id_counts(self) -> NDArray[np.int64]:
        """Training clicks of each encoded id, ``(items + 3,)``; none of those that are no item."""
        return self._by_id(self.items[TRAIN_COUNT].to_numpy().astype(np.int64))

    def numbers(self, names: Sequence[str]) -> NDArray[np.float32]:
        """Return numbers by encoded id, float32 ``(items + 3, names)``; zeros if there is none."""
        return self._by_id(self.items.select(names).to_numpy().astype(np.float32))

    @cached_property
    def items_by_id(self) -> pl.DataFrame:
        """The catalogue after three rows for special ids: no text, unknown categories."""
        ids = pl.int_range(FIRST_ID, dtype=pl.Int32)
        kinds = self.items.schema
        unknown = [n for n, t in kinds.items() if t == pl.Int32 and n != AGE]
        zeros = [n for n, t in kinds.items() if t.is_float() or n == AGE]
        blank = self.items.clear(FIRST_ID).with_columns(ids.alias(name) for name in unknown)
        blank = blank.with_columns(pl.lit(0).cast(kinds[name]).alias(name) for name in zeros)
        return pl.concat([blank, self.items])

    def _counted_in(self, column: str) -> str:
        """Return `inview` for items: those shown and never clicked count as occurring."""
        return INVIEW if column == ITEM_ID else column

    @cached_property
    def shown_counts(self) -> NDArray[np.int64]:
        """Training impressions of each encoded id, ``(items + 3,)``."""
        return self.occurrences(ITEM_ID)

    def query_sample(self, rows: int) -> pl.DataFrame:
        """Return a few readers with their histories."""
        return self.users.head(rows)

    def held_out_sample(self, rows: int) -> pl.DataFrame:
        """Return the readers of a few impressions of the test split, likewise."""
        slates = self.slates("test")
        return self.query_frame(slates.users[:rows], slates.histories[:rows])

    def query_frame(
        self, users: NDArray[np.integer], histories: NDArray[np.integer]
    ) -> pl.DataFrame:
        """Return readers and these rows of the histories as the inputs of a query tower."""
        return self._read[histories].with_columns(pl.Series(USER_ID, users, dtype=pl.Int32))

    def slates(self, split: str, start: int = 0, rows: int | None = None) -> Slates:
        """Return the impressions of a split, in the order of the source: all, or some `rows`."""
        names = [IMPRESSION_ID, USER_ID, HISTORY_ID, TIMESTAMP, INVIEW, LABELS]
        table = self.scan(split).slice(start, rows).select(names).collect()
        shown = table[INVIEW]
        offsets = np.concatenate([[0], np.cumsum(shown.list.len().to_numpy())]).astype(np.int64)
        items = shown.explode(empty_as_null=False).to_numpy().astype(np.int32)
        return Slates(
            table[IMPRESSION_ID],
            table[USER_ID].to_numpy(),
            table[HISTORY_ID].to_numpy(),
            _moments(table[TIMESTAMP]),
            items,
            offsets,
            table[LABELS].explode(empty_as_null=False).to_numpy() > 0,
        )

    def number(self, name: str) -> ColumnSchema:
        """Return the schema of a number of the articles; raise `RecipeError` if it is none."""
        numbers = [c.name for c in self.schema if {Tags.ITEM, Tags.CONTINUOUS} <= set(c.tags)]
        if name not in numbers:
            raise RecipeError(
                "`model.features` should name numbers of the articles: "
                f"{', '.join(numbers) or 'there are none'}. Received: {name!r}."
            )
        return self.schema[name]

    def list_column(self, name: str) -> ColumnSchema:
        """Return the schema of a list; raise `SchemaError` if it is not there."""
        if name not in self.schema.column_names:
            raise SchemaError(
                f"The model needs the list {name!r} in the processed schema. Found: "
                f"{', '.join(self.schema.column_names)}. Process impressions that have it."
            )
        return self.schema[name]

    def _by_id(self, rows: NDArray[Any]) -> NDArray[Any]:
        return np.concatenate([np.zeros((FIRST_ID, *rows.shape[1:]), rows.dtype), rows])


def age_buckets(ages: NDArray[np.timedelta64]) -> NDArray[np.int32]:
    """Return the interval of each age, 1 … 15 by `AGE_HOURS`; 0 for one that is not known."""
    hours = ages / np.timedelta64(1, "h")
    buckets = np.searchsorted(AGE_HOURS, hours) + 1
    return np.where(np.isnan(hours), 0, buckets).astype(np.int32)


def padded(lists: pl.Series, width: int) -> NDArray[np.int32]:
    """Return lists as rows of an int32 matrix, their first `width` values, padded with 0."""
    kept = lists.list.head(width)
    lengths = kept.list.len().fill_null(0).to_numpy().astype(np.int64)
    matrix = np.zeros((len(lists), width), np.int32)
    flat = kept.drop_nulls().explode(empty_as_null=False).to_numpy()
    matrix[np.arange(width) < lengths[:, None]] = flat
    return matrix


def _moments(times: pl.Series) -> NDArray[np.datetime64]:
    return times.cast(pl.Datetime("us")).to_numpy().astype("datetime64[us]")


def _longest(column: ColumnSchema) -> int:
    return max(int(column.value_count.max or 1), 1)
