"""The users and items of a bundle as arrays, all at once."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from towermill.columns import ITEM_ID, TRAIN_COUNT, USER_ID, VECTOR
from towermill.errors import BundleError
from towermill.pipelines.bundle.bundle import Bundle
from towermill.pipelines.bundle.query import Query

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
    def item_ids(self) -> list[Any]:
        """Raw ids of the items."""
        ids: list[Any] = self.bundle.items.raw(ITEM_ID).to_pylist()
        return ids

    @cached_property
    def user_rows(self) -> dict[Any, int]:
        """Row of each raw user id."""
        return {user: r for r, user in enumerate(self.bundle.users.raw(USER_ID).to_pylist())}

    @property
    def counts(self) -> NDArray[np.float32]:
        """Training rows of each item, ``(items,)``."""
        counts: NDArray[np.float32] = (
            self.bundle.items.data.column(TRAIN_COUNT).to_numpy().astype(np.float32)
        )
        return counts

    @property
    def vectors(self) -> NDArray[np.float32]:
        """Vectors of the items' text, ``(items, dim)``.

        Raises
        ------
        BundleError
            The bundle has none.
        """
        table = self.bundle.items.data
        if VECTOR not in table.schema.names:
            raise BundleError(
                f"The bundle at {self.bundle.path} has no vectors of its items' text. Set "
                "`text.vectors` in its recipe (to `lsa`, or a sentence model), and run it again."
            )
        values = pc.list_flatten(table.column(VECTOR)).to_numpy(zero_copy_only=False)
        vectors: NDArray[np.float32] = values.astype(np.float32).reshape(table.num_rows, -1)
        return vectors

    @property
    def item_embeddings(self) -> NDArray[np.float32]:
        """``(items, dim)``."""
        return np.array(self.bundle.index.vectors)

    @cached_property
    def query_embeddings(self) -> NDArray[np.float32]:
        """``(users + 1, dim)``; the last row is for unknown users."""
        rows = np.arange(len(self.bundle.users))
        slices = [
            self.bundle.embed_users(rows[start : start + _USERS])
            for start in range(0, len(rows), _USERS)
        ]
        return np.concatenate([*slices, self.bundle.embed_queries([Query()])])

    @cached_property
    def seen(self) -> list[list[int]]:
        """Rows of the items that each user has seen."""
        return [self.bundle.seen(row).tolist() for row in range(len(self.bundle.users))]
