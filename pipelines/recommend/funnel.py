"""A funnel: one bundle retrieves candidates, another ranks them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import PositiveInt

from towermill.columns import ITEM_ID
from towermill.errors import BundleError
from towermill.pipelines.bundle.bundle import Bundle
from towermill.pipelines.bundle.query import Recommendations
from towermill.pipelines.search.exact import check_k
from towermill.section import Section


class FunnelConfig(Section):
    """The `funnel` section of a YAML file (Covington et al., RecSys 2016).

    Parameters
    ----------
    retrieve
        Folder of the bundle that brings candidates.
    rank
        Folder of the bundle that orders them, such as that of an `ncf`.
    candidates
        How many are brought.
    """

    retrieve: Path
    rank: Path
    candidates: PositiveInt = 100


class Funnel:
    """Recommends as a `Bundle` does, in two steps.

    Parameters
    ----------
    config
        Names the bundles.

    Raises
    ------
    BundleError
        One of them is no whole bundle, or they have no item in common.
    """

    def __init__(self, config: FunnelConfig) -> None:
        self.config = config
        self.retriever, self.ranker = Bundle.open(config.retrieve), Bundle.open(config.rank)
        brought = self.retriever.items.raw(ITEM_ID).to_pylist()
        if not any(self.ranker.find_item(item) is not None for item in brought):
            raise BundleError(
                f"The bundles of a funnel should be of the same items; {config.retrieve} and "
                f"{config.rank} have none in common."
            )

    @property
    def title(self) -> str | None:
        """The item feature that people read, if there is one."""
        return self.retriever.title

    def recommend(
        self,
        user_id: Any = None,
        k: int = 10,
        filter_seen: bool = True,
        *,
        history: Sequence[Any] | None = None,
    ) -> Recommendations:
        """Return the `k` best of the candidates, in the ranker's order and with its scores.

        Parameters
        ----------
        user_id, filter_seen, history
            As for `Bundle.recommend`, which brings the candidates. To the ranker, a user
            who gives a `history` is unknown. Items that it does not know come last, with a score
            of None.
        k
            How many, at least 1; no more than `candidates` come.

        Raises
        ------
        BundleError
            `k` is not a positive integer, or the retriever takes no `history`.
        """
        check_k(k)
        found = self.retriever.recommend(
            user_id, self.config.candidates, filter_seen, history=history
        )
        brought = {item["item_id"]: item for item in found.items}
        ranked = self.ranker.rank(user_id, list(brought))
        # With the raw features that the retriever has of them, which the ranker's may lack.
        items = [
            {**item, **brought[item["item_id"]], "score": item["score"]}
            for item in ranked.items[:k]
        ]
        known = found.known and (ranked.known or history is not None)
        return Recommendations(items, known, found.by)
