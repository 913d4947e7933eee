"""Track the items of each user: clicked before, clicked now, and shown now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Feedback:
    """Rows of users, and of the items that each has seen in an episode.

    Parameters
    ----------
    user_rows
        Row of each known user.
    history
        Rows of the items that each known user had clicked before.
    """

    def __init__(self, user_rows: dict[Any, int], history: Sequence[Sequence[int]]) -> None:
        self._known, self._history = user_rows, history
        self._new: dict[Any, int] = {}
        self.reset()

    def reset(self) -> None:
        """Go back to the histories."""
        self.clicked: dict[int, list[int]] = {}
        self._met: dict[int, set[int]] = {}

    def rows(self, users: Sequence[Any]) -> list[int]:
        """Return the users' rows; one who is not known gets a row of the own, after the others."""
        found = []
        for user in users:
            row = self._known.get(user, self._new.get(user))
            if row is None:
                row = self._new[user] = len(self._history) + len(self._new)
            if row not in self.clicked:
                before = self._history[row] if row < len(self._history) else ()
                self.clicked[row], self._met[row] = list(before), set(before)
            found.append(row)
        return found

    def met(self, row: int) -> set[int]:
        """Return the items the user has clicked or been shown."""
        return self._met[row]

    def show(self, row: int, items: Sequence[int]) -> None:
        """Note a slate."""
        self._met[row].update(items)

    def click(self, row: int, item: int) -> None:
        """Note a click."""
        self.clicked[row].append(item)

    def hide(self, scores: NDArray[np.float32], rows: Sequence[int]) -> None:
        """Set the scores of items each user has seen to minus infinity, in place."""
        for line, row in zip(scores, rows, strict=True):
            line[list(self._met[row])] = -np.inf
