"""Hit rate within impressions."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from towermill.models.metrics.impressions.base import Floats, ImpressionMetric, Standing


class ImpressionHitRate(ImpressionMetric):
    """Chance that at least one of the first k is clicked; 0 or 1 where no tie spans place k."""

    kind: ClassVar[str] = "hit_rate"
    order: ClassVar[int] = 40
    at_k: ClassVar[bool] = True

    def per_impression(self, standing: Standing, cut: int) -> Floats:
        # It depends on the best clicked entry of each impression, and on its ties.
        above, equal, clicked = standing.above, standing.equal, standing.clicked
        result = np.full(len(clicked), np.nan)
        rows = np.flatnonzero(clicked)
        if not len(rows):
            return result
        starts = (np.cumsum(clicked) - clicked)[rows]
        best = np.minimum.reduceat(above, starts)
        among = above == np.repeat(best, clicked[rows])  # the clicks that tie as the best
        hits = np.add.reduceat(among, starts, dtype=np.int64)
        tied = np.maximum.reduceat(np.where(among, equal, 0), starts)
        room = cut - best
        result[rows] = room > 0
        unsure = np.flatnonzero((room > 0) & (room < tied))
        hits, tied, room = hits[unsure], tied[unsure], room[unsure]
        # Hypergeometric: `room` of the `tied` are drawn, `hits` of which are clicked.
        missed = np.ones(len(unsure))
        for drawn in range(int(room.max(initial=0))):
            chance = np.maximum(tied - hits - drawn, 0) / np.maximum(tied - drawn, 1)
            missed *= np.where(drawn < room, chance, 1.0)
        result[rows[unsure]] = 1 - missed
        return result
