"""Encode queries (a known user, raw features, or a history) as inputs of a bundle's model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from towermill.columns import FIRST_ID, HISTORY, USER_ID
from towermill.features.inputs import ModelInput
from towermill.pipelines.bundle.query import Query
from towermill.pipelines.bundle.raw_features import RawFeatures
from towermill.pipelines.bundle.tables import Batch, IdTable, SeenTable
from towermill.pipelines.bundle.towers import join, unknown_user, users_batch

_NOTHING = np.zeros(0, np.int64)


@dataclass(frozen=True)
class Asked:
    """A query that was looked up.

    Attributes
    ----------
    row
        Row of a known user, whose features the table holds.
    batch
        Otherwise the encoded features, one row.
    known
        See `Recommendations`.
    met
        Rows of the seen items, left out with `filter_seen`.
    """

    row: int | None
    batch: Batch
    known: bool
    met: NDArray[np.int64]


@dataclass(frozen=True)
class QueryEncoder:
    """Looks queries up and encodes them.

    Attributes
    ----------
    users, items, seen
        The bundle's tables.
    features
        The model's query inputs, by name.
    raw
        Encodes raw features.
    """

    users: IdTable
    items: IdTable
    seen: SeenTable
    features: Mapping[str, ModelInput]
    raw: RawFeatures

    def look_up(self, query: Query) -> Asked:
        """Look up a query's user or history and encode it if need be."""
        if query.history is not None:
            read = self.items.find_all(query.history)
            reader = unknown_user(self.features)
            reader[f"{HISTORY}__values"] = (read + FIRST_ID).astype(np.int32)
            reader[f"{HISTORY}__offsets"] = np.array([0, len(read)], np.int32)
            return Asked(None, reader, bool(len(read)), read)
        if query.features is not None:
            row = self.users.find(query.features.get(USER_ID))
            met = _NOTHING if row is None else self.seen.of(row)
            return Asked(None, self.raw.encode(query.features), row is not None, met)
        row = self.users.find(query.user_id)
        if row is None:
            return Asked(None, unknown_user(self.features), False, _NOTHING)
        return Asked(row, {}, True, self.seen.of(row))

    def batch(self, asked: Sequence[Asked]) -> Batch:
        """Return the encoded features of queries, in their order."""
        rows = [one.row for one in asked if one.row is not None]
        if len(rows) == len(asked):
            return self.of_users(np.array(rows, np.int64))
        return join([self.one(one) for one in asked], self.features)

    def one(self, asked: Asked) -> Batch:
        """Return the encoded features of a query."""
        return asked.batch if asked.row is None else self.of_users(np.array([asked.row]))

    def of_users(self, rows: NDArray[np.int64]) -> Batch:
        """Return the encoded features of the users of some rows."""
        return users_batch(self.users, self.features, rows)
