"""Search a catalogue by words of the titles."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from towermill.columns import ITEM_ID
from towermill.pipelines.server.service.reader import Reader


class ItemSearch:
    """Finds items of a bundle by their titles, or by their ids where there are none.

    Parameters
    ----------
    bundle
        Whose rows are found.
    """

    def __init__(self, bundle: Reader) -> None:
        self._bundle = bundle

    def find(self, text: str, limit: int) -> list[int]:
        """Return rows of items.

        First the one that has `text` for an id, then those whose title begins with it, then those
        whose title has all its words somewhere; each in the catalogue's order, which is that of
        falling frequency. Case does not matter.

        Parameters
        ----------
        text
            The search text; an empty one finds nothing.
        limit
            How many rows at most.
        """
        words = text.lower().split()
        if not words:
            return []
        exact = self._bundle.find_item(text.strip())
        has_all = np.ones(len(self._titles), bool)
        for word in words:
            has_all &= _matches(pc.match_substring(self._titles, word))
        rows = np.flatnonzero(has_all)
        begins = _matches(pc.starts_with(self._titles.take(pa.array(rows)), " ".join(words)))
        ordered = [*rows[begins], *rows[~begins]] if len(rows) else []
        found = dict.fromkeys([*([] if exact is None else [exact]), *map(int, ordered)])
        return list(found)[:limit]

    @cached_property
    def _titles(self) -> Any:
        name = self._bundle.title or ITEM_ID
        return pc.utf8_lower(pc.cast(self._bundle.item_column(name), pa.large_string()))


def _matches(mask: Any) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = pc.fill_null(mask, False).to_numpy(zero_copy_only=False)
    return found
