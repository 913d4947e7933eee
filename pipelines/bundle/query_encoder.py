"""Encode queries (a known user, raw features, or a history) as inputs of a bundle's model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from towermill.columns import FIRST_ID, HISTORY, USER_ID
from towermill.features.inputs import ModelInput
from towermill.pipelines.bundle.query import By, Query
from towermill.pipelines.bundle.raw_features import RawFeatures
from towermill.pipelines.bundle.tables import Batch, IdTable, SeenTable
from towermill.pipelines.bundle.towers import join, unknown_user, users_batch

_HISTORY_ARRAYS = (f"{HISTORY}__values", f"{HISTORY}__offsets")
_NAMES = (USER_ID, HISTORY)
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
    by
        See `Recommendations`.
    met
        Rows of the seen items, left out with `filter_seen`.
    """

    row: int | None
    batch: Batch
    by: By
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
            reader |= _history(read)
            return Asked(None, reader, "history" if len(read) else "default", read)
        if query.features is not None:
            return self._by_features(query.features)
        row = self.users.find(query.user_id)
        if row is None:
            return Asked(None, unknown_user(self.features), "default", _NOTHING)
        return Asked(row, {}, "user", self.seen.of(row))

    def _by_features(self, features: Mapping[str, Any]) -> Asked:
        """Encode raw features; a known user who gives no history has the stored one."""
        row = self.users.find(features.get(USER_ID))
        met = _NOTHING if row is None else self.seen.of(row)
        told = [name for name in features if name in self.features and name not in _NAMES]
        by: By = "features" if told else "default"
        encoded = self.raw.encode(features)
        if HISTORY in self.features:
            if features.get(HISTORY):
                read = self.items.find_all(features[HISTORY])
                by, met = "history" if len(read) else by, np.union1d(met, read)
                encoded |= _history(read)
            elif row is not None:
                stored = self.of_users(np.array([row]))
                encoded |= {name: stored[name] for name in _HISTORY_ARRAYS}
        return Asked(None, encoded, by if row is None else "user", met)

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


def _history(read: NDArray[np.int64]) -> Batch:
    """Return the history of items of some rows; unknown items are left out, as in training."""
    arrays = (read + FIRST_ID).astype(np.int32), np.array([0, len(read)], np.int32)
    return dict(zip(_HISTORY_ARRAYS, arrays, strict=True))
