"""Recommend by content: the nearest items of one that the user has seen."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from towermill.errors import BundleError
from towermill.pipelines.bundle.query import Recommendations
from towermill.pipelines.recommend.catalogue import Catalogue
from towermill.pipelines.recommend.neighbours import Neighbours
from towermill.pipelines.search.exact import check_k


class NearRead:
    """The nearest items, by the vectors of their text, of one of the items that a user has seen.

    Which one is drawn, by the seed and the user: the same user is answered alike.

    Parameters
    ----------
    catalogue
        A bundle whose recipe has `text.vectors`.
    neighbours
        Nearest items considered, of which those not seen are recommended.
    seed
        Seed of the draw.

    Raises
    ------
    BundleError
        The bundle has no vectors.
    """

    def __init__(self, catalogue: Catalogue, neighbours: int = 50, seed: int = 0) -> None:
        self.catalogue, self.seed = catalogue, seed
        self._neighbours = Neighbours(catalogue.vectors, neighbours)

    @property
    def title(self) -> str | None:
        """The item feature that people read, if there is one."""
        return self.catalogue.bundle.title

    def recommend(
        self,
        user_id: Any = None,
        k: int = 10,
        filter_seen: bool = True,
        *,
        history: Sequence[Any] | None = None,
    ) -> Recommendations:
        """Return up to `k` items, nearest first; none for a user who has seen nothing.

        Takes a user alone; a score is a cosine.
        """
        check_k(k)
        if history is not None:
            raise BundleError("Recommending by content takes no `history` here. Give a `user_id`.")
        row = self.catalogue.bundle.find_user(user_id)
        met = self.catalogue.seen[row] if row is not None else []
        if not met:
            return Recommendations([], row is not None)
        rng = np.random.default_rng([self.seed, zlib.crc32(str(user_id).encode())])
        nearest, cosines = self._neighbours.of(np.array([rng.choice(met)]))
        left_out = set(met) if filter_seen else set()
        items = [
            {**self.catalogue.bundle.item(item), "score": score}
            for item, score in zip(nearest[0].tolist(), cosines[0].tolist(), strict=True)
            if item >= 0 and item not in left_out
        ]
        return Recommendations(items[:k], True)
