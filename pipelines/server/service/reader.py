"""The protocol that the server needs; `Bundle` implements it, and so do combinations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from towermill.pipelines.bundle.manifest import MANIFEST, Manifest
from towermill.pipelines.bundle.query import Query, Recommendations


class Reader(Protocol):
    """An opened bundle. Its methods are called from several threads at once."""

    @property
    def manifest(self) -> Manifest:
        """Return the bundle's manifest."""

    @property
    def title(self) -> str | None:
        """Return the item feature that people read, if there is one."""

    def load(self) -> None:
        """Read everything that is otherwise read on first use; the folder may then be moved."""

    def check(self, query: Query) -> None:
        """Raise `BundleError` if the query cannot be answered; cheap."""

    def answer(self, queries: Sequence[Query]) -> list[Recommendations]:
        """Answer each query as if it were asked alone."""

    def similar_many(self, item_ids: Sequence[Any], k: int) -> list[list[dict[str, Any]]]:
        """Return the nearest items of each item."""

    def find_user(self, raw: Any) -> int | None:
        """Return the row of a user's raw id."""

    def find_item(self, raw: Any) -> int | None:
        """Return the row of an item's raw id."""

    def user(self, row: int) -> dict[str, Any]:
        """Return ``user_id`` and the raw features of a user."""

    def item(self, row: int) -> dict[str, Any]:
        """Return ``item_id`` and the raw features of an item."""

    def seen(self, row: int) -> NDArray[np.int64]:
        """Return the rows of the items that a user has seen."""

    def item_column(self, name: str) -> Any:
        """Return the raw values of a column of items, ``item_id`` among them, as Arrow."""

    def user_column(self, name: str) -> Any:
        """Return the raw values of a column of users, ``user_id`` among them, as Arrow."""

    def nearest_of(
        self, rows: NDArray[np.int64], among: NDArray[np.int64], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the `k` nearest of the items `among` for each item of `rows`, nearest first.

        By item embedding, with the similarity that `similar` uses.

        Parameters
        ----------
        rows
            Rows of the query items, shape ``(n,)``.
        among
            Rows of the items to choose from, shape ``(m,)``.
        k
            How many of them, at least 1.

        Returns
        -------
        tuple of numpy.ndarray
            Rows, int64, and their scores, float32, both of shape ``(n, min(k, m))``.

        Raises
        ------
        BundleError
            The bundle has no item embeddings.
        """


#: Opens the bundle at a path and verifies its checksums, or raises `BundleError`.
Opener = Callable[[Path], Reader]

#: Names the files that another published bundle at a path would change, its manifest first.
Watched = Callable[[Path], Sequence[Path]]


def manifest_of(path: Path) -> list[Path]:
    """Return the file that another published bundle at a path would change."""
    return [path / MANIFEST]
