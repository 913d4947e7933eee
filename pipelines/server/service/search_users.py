"""Search the users of a bundle by their ids."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from towermill.columns import USER_ID
from towermill.pipelines.server.service.reader import Reader


class UserSearch:
    """Finds users of a bundle by the beginning of their ids.

    Parameters
    ----------
    bundle
        Whose rows are found.
    """

    def __init__(self, bundle: Reader) -> None:
        self._bundle = bundle

    def find(self, text: str, limit: int) -> list[int]:
        """Return rows of users: the one with this id, then those whose id begins with it.

        Parameters
        ----------
        text
            The beginning of an id, as text; empty finds users from all over the table.
        limit
            How many rows at most.
        """
        if not text:
            count = self._bundle.manifest.rows.users
            return [int(row) for row in np.linspace(0, count - 1, min(limit, count)).astype(int)]
        exact = self._bundle.find_user(text)
        begins = pc.indices_nonzero(pc.starts_with(self._ids, text)).slice(0, limit).to_pylist()
        found = dict.fromkeys([*([] if exact is None else [exact]), *begins])
        return list(found)[:limit]

    @cached_property
    def _ids(self) -> Any:
        return pc.cast(self._bundle.user_column(USER_ID), pa.large_string())
