"""A funnel: one bundle retrieves candidates, another ranks them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from towermill.columns import USER_ID
from towermill.errors import BundleError
from towermill.pipelines.bundle.bundle import Bundle
from towermill.pipelines.bundle.query import Query, Recommendations
from towermill.pipelines.recommend.combined.base import (
    BundlePath,
    Combination,
    CombinationConfig,
    open_part,
)
from towermill.pipelines.recommend.combined.ordering import Ordering


class FunnelConfig(CombinationConfig):
    """The `funnel` section of a YAML file (Covington et al., RecSys 2016).

    Parameters
    ----------
    retrieve
        Folder of the bundle that retrieves candidates.
    rank
        Folder of the bundle that orders them, such as that of a `dlrm`.
    candidates
        Number of candidates to retrieve.
    weight
        The ranker's share of the score that orders the candidates. 1 is its score alone; 0.3
        mixes 0.3 of it with 0.7 of the retriever's, both standardised over the candidates.
    """

    places: ClassVar[Any] = {"retrieve", "rank"}

    retrieve: BundlePath
    rank: BundlePath
    candidates: PositiveInt = 100
    weight: float = Field(1.0, gt=0, le=1)

    @property
    def bundles(self) -> tuple[Path, ...]:
        """The folders of its bundles."""
        return self.retrieve, self.rank


class Funnel(Combination):
    """Recommends as a `Bundle` does, in two steps.

    Parameters
    ----------
    config
        Names the bundles.
    name
        What it is called, such as its file.
    verify
        Verify the bundles' checksums.

    Raises
    ------
    BundleError
        A bundle is missing, not whole or of the other kind, or the two have no item in common.
    """

    kind = "funnel"
    section = FunnelConfig

    def __init__(self, config: FunnelConfig, name: str = "funnel", verify: bool = False) -> None:
        self.config = config
        retriever, ranker = open_part(config.retrieve, verify), open_part(config.rank, verify)
        if retriever.ranks:
            raise BundleError(
                f"`retrieve` should be a retriever's bundle; {config.retrieve} is that of a "
                "ranker, which has no embeddings to search. Name it as `rank`."
            )
        super().__init__(retriever, {"retrieve": retriever, "rank": ranker}, config, name)
        self.retriever, self.ranker = retriever, ranker
        if not ranker.ranks:
            raise BundleError(
                f"`rank` should be a ranker's bundle; {config.rank} is that of a retriever. Train "
                "a ranker on the same data, such as `model: {kind: dlrm}`."
            )
        self.ordering = Ordering(ranker, retriever, config.weight)
        if not (self.ordering.items >= 0).any():
            raise BundleError(
                f"The bundles of a funnel should be of the same items; {config.retrieve} and "
                f"{config.rank} have none in common."
            )

    def check(self, query: Query) -> None:
        """Raise `BundleError` if a query cannot be answered.

        `features` may be of either bundle; all other keys are the retriever's.
        """
        for part in (self.retriever, self.ranker):
            part.check(self._asked_of(part, query))
        taken = {name for part in (self.retriever, self.ranker) for name in part.raw_queries.names}
        unknown = set(query.features or ()) - taken - {USER_ID}
        if unknown:
            raise BundleError(
                f"`features` may be {', '.join(sorted(taken))}. Received: "
                f"{', '.join(sorted(map(str, unknown)))}."
            )

    def require_in_bulk(self) -> None:
        """Return: many users are answered at once."""

    def answer(self, queries: Sequence[Query]) -> list[Recommendations]:
        """Return the best of the candidates of each query, at most `candidates`.

        The score is the ranker's, or with a `weight` the mixture. Items that the ranker does not
        know come last, with a score of None. Where it knows neither the user nor any of the
        features, as of a user who gives a history, order and scores are the retriever's.
        """
        if not queries:
            return []
        for query in queries:
            self.check(query)
        wide = [replace(query, k=self.config.candidates) for query in queries]
        rows, scores, by = self.retriever.search([self._asked_of(self.retriever, q) for q in wide])
        users, met = self.ranker.encode_queries([self._asked_of(self.ranker, q) for q in queries])
        known = np.array([one != "default" for one in met])
        rows, scores = self.ordering.order(users, known, rows, scores)
        for place, query in enumerate(queries):
            rows[place, query.k :] = -1
        return [
            Recommendations(
                [{**item, "score": _or_none(item["score"])} for item in items],
                one in ("user", "history"),
                one,
            )
            for items, one in zip(self.retriever.described(rows, scores), by, strict=True)
        ]

    def best_of_users(
        self, rows: NDArray[np.int64], k: int, filter_seen: bool
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the best items of the users of some rows of the retriever's bundle."""
        found, scores = self.retriever.best_of_users(rows, self.config.candidates, filter_seen)
        items, scores = self.ordering.of_users(rows, found, scores)
        return items[:, :k], scores[:, :k]

    def _asked_of(self, part: Bundle, query: Query) -> Query:
        """Return what a query asks of one of the bundles: each takes its own features.

        The ranker takes no history and no wishes about items.
        """
        features = query.features
        if isinstance(features, Mapping):
            own = {*part.raw_queries.names, *([] if part.ranks else [USER_ID])}
            features = {name: value for name, value in features.items() if name in own}
        if part.ranks:
            return Query(user_id=query.user_id, features=features)
        return replace(query, features=features)


def _or_none(score: float) -> float | None:
    return None if np.isnan(score) else score
