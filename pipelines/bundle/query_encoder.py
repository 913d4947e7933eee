"""Encode queries (a known user, raw features, or a history) as inputs of a bundle's model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from towermill.columns import FIRST_ID, HISTORY, USER_ID
from towermill.errors import BundleError
from towermill.features.inputs import ModelInput
from towermill.pipelines.bundle.query import By, Query
from towermill.pipelines.bundle.raw_features import RawFeatures
from towermill.pipelines.bundle.tables import Batch, IdTable, SeenTable
from towermill.pipelines.bundle.towers import join, unknown_user, users_batch
from towermill.pipelines.search.exact import check_k

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

    def check(self, query: Query, histories: bool) -> None:
        """Raise `BundleError` if a query cannot be answered.

        Parameters
        ----------
        query
            As it was asked.
        histories
            Whether the model may take a history instead of a user.
        """
        check_k(query.k)
        if not isinstance(query.filter_seen, bool):
            raise BundleError(
                f"`filter_seen` should be true or false. Received: {query.filter_seen!r}"
            )
        if query.history is not None:
            if not histories or HISTORY not in self.features:
                raise BundleError("The model of this bundle takes no `history`. Give a `user_id`.")
            require_list(query.history, "history")
        if query.features is not None:
            if query.history is not None or query.user_id is not None:
                raise BundleError(
                    "`features` cannot be combined with `user_id` or `history`; they may hold the "
                    "user id. Received also: "
                    f"{'history' if query.history is not None else 'user_id'}"
                )
            if not isinstance(query.features, Mapping):
                raise BundleError(
                    f"`features` should be names and values. Received: {query.features!r}"
                )
            # The id of a known user names the stored history, even if the tower takes no id.
            ignored = {USER_ID} - set(self.features) if HISTORY in self.features else set()
            self.raw.check({n: v for n, v in query.features.items() if n not in ignored})
        require_list(query.exclude, "exclude")
        if query.candidates is not None:
            require_list(query.candidates, "candidates")

    def look_up(self, query: Query) -> Asked:
        """Look up a query's user or history and encode it if need be."""
        if query.history is not None:
            read = self.items.find_all(query.history)
            reader = unknown_user(self.features)
            reader |= self._history(read)
            by: By = "history" if len(self.known(read)) else "default"
            return Asked(None, reader, by, read)
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
                by = "history" if len(self.known(read)) else by
                met = np.union1d(met, read)
                encoded |= self._history(read)
            elif row is not None:
                stored = self.of_users(np.array([row]))
                encoded |= {name: stored[name] for name in _HISTORY_ARRAYS}
        return Asked(None, encoded, by if row is None else "user", met)

    def _history(self, read: NDArray[np.int64]) -> Batch:
        """Return the history of items of some rows; those the model does not know are left out."""
        known = self.known(read) + FIRST_ID
        arrays = known.astype(np.int32), np.array([0, len(known)], np.int32)
        return dict(zip(_HISTORY_ARRAYS, arrays, strict=True))

    def known(self, read: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return those of some items' rows that the model was trained with."""
        most = self.features[HISTORY].ids
        return read if most is None else read[read + FIRST_ID < most]

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


def require_list(items: Any, name: str) -> None:
    """Raise `BundleError` unless `items` is a list."""
    if isinstance(items, str | bytes | Mapping) or not isinstance(items, Iterable):
        raise BundleError(f"`{name}` should be a list of ids. Received: {items!r}")
