"""Triton's model ``user_features``: raw user ids to inputs of the query tower."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from towermill.columns import FIRST_ID, OOV_ID, USER_ID
from towermill.errors import BundleError
from towermill.pipelines.bundle.manifest import USERS
from towermill.pipelines.bundle.tables import Batch, IdTable
from towermill.pipelines.bundle.towers import join, unknown_user, users_batch
from towermill.pipelines.triton.tensors import Folder, answer, needed, texts


class TritonPythonModel:
    """Looks users up in the bundle's table; unknown users are out of vocabulary."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Map the table of users into memory."""
        folder = Folder(args)
        self._batches = int(folder.config["max_batch_size"]) > 0
        self._most = folder.number("max_batch_size")
        self._outputs = {output["name"] for output in folder.config["output"]}
        self._features = folder.manifest.query_features
        self._users = IdTable(folder.path / USERS, USER_ID)
        self._unknown_user = unknown_user(self._features)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request."""
        return answer(requests, self._respond)

    def _respond(self, request: Any) -> Mapping[str, NDArray[Any]]:
        ids = texts("USER_ID", needed(request, "USER_ID", 1))
        if len(ids) > self._most:
            raise BundleError(f"At most {self._most} users a request. Received: {len(ids)}")
        rows = [self._users.find(user) for (user,) in ids]
        encoded = [OOV_ID if row is None else row + FIRST_ID for row in rows]
        # Named so, a feature may have any name. Features that the tower's graph omits are no
        # output.
        batch = {f"query_{name}": values for name, values in self._encode(rows).items()}
        batch = {name: values for name, values in batch.items() if name in self._outputs}
        if self._batches:
            batch = {name: values[:, None] for name, values in batch.items()}
        return {
            "USER": np.array(encoded, np.int32)[:, None],
            "KNOWN": np.array([row is not None for row in rows])[:, None],
            **batch,
        }

    def _encode(self, rows: Sequence[int | None]) -> Batch:
        parts: list[Batch] = []
        for known, run in groupby(rows, lambda row: row is not None):
            some = list(run)
            if known:
                parts.append(users_batch(self._users, self._features, np.array(some, np.int64)))
            else:
                parts += [self._unknown_user] * len(some)
        return join(parts, self._features)
