"""What a bundle holds, as arrays: for all of its users and items at once."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from towermill.columns import (
    FIRST_ID,
    ITEM_ID,
    RAW_PREFIX,
    TRAIN_COUNT,
    USER_ID,
    VECTOR,
)
from towermill.errors import BundleError
from towermill.pipelines.bundle import Bundle

#: Users that are encoded at a time.
_USERS = 8192


class Catalogue:
    """A bundle's items and users by row; row i is the id that is encoded as i + 3.

    Parameters
    ----------
    bundle
        Opened; or its folder.
    """

    def __init__(self, bundle: Bundle | str | Path) -> None:
        self.bundle = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)

    @cached_property
    def _items(self) -> pl.DataFrame:
        return pl.read_parquet(self.bundle.path / "item_features.parquet")

    @cached_property
    def _users(self) -> pl.DataFrame:
        return pl.read_parquet(self.bundle.path / "user_features.parquet")

    @cached_property
    def item_ids(self) -> list[Any]:
        """Raw ids of the items."""
        return self._items[RAW_PREFIX + ITEM_ID].to_list()

    @cached_property
    def item_rows(self) -> dict[Any, int]:
        """Row of each raw item id."""
        return {item: row for row, item in enumerate(self.item_ids)}

    @cached_property
    def user_rows(self) -> dict[Any, int]:
        """Row of each raw user id."""
        return {user: row for row, user in enumerate(self._users[RAW_PREFIX + USER_ID].to_list())}

    @property
    def counts(self) -> NDArray[np.float32]:
        """Training rows of each item, ``(items,)``."""
        return self._items[TRAIN_COUNT].to_numpy().astype(np.float32)

    @property
    def vectors(self) -> NDArray[np.float32]:
        """Vectors of the items' text, ``(items, dim)``.

        Raises
        ------
        BundleError
            The bundle has none.
        """
        if VECTOR not in self._items.columns:
            raise BundleError(
                f"The bundle at {self.bundle.path} has no vectors of its items' text. Set "
                "`text.vectors` in its recipe (to `lsa`, or a sentence model), and run it again."
            )
        return self._items[VECTOR].to_numpy()

    @property
    def item_embeddings(self) -> NDArray[np.float32]:
        """``(items, dim)``."""
        table = pl.read_parquet(self.bundle.path / "item_embeddings.parquet").drop(ITEM_ID)
        return table.to_numpy().astype(np.float32)

    @cached_property
    def query_embeddings(self) -> NDArray[np.float32]:
        """``(users + 1, dim)``; the last is that of whoever is not known."""
        slices = [self.bundle.encode(rows) for rows in self._users.iter_slices(_USERS)]
        return np.concatenate([*slices, self.bundle.encode(self.bundle.unknown_user())])

    @cached_property
    def seen(self) -> list[list[int]]:
        """Rows of the items that each user has met."""
        lists: list[list[int]] = [[] for _ in range(self._users.height)]
        table = pl.read_parquet(self.bundle.path / "seen_items.parquet")
        for user, items in zip(table[USER_ID].to_list(), table[ITEM_ID].to_list(), strict=True):
            if user >= FIRST_ID:
                lists[user - FIRST_ID] = [item - FIRST_ID for item in items]
        return lists
