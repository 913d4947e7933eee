"""A policy: builds slates from one or several sources, which may learn from the clicks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from towermill.models.architectures.funk_svd_online import Floats, OnlineFactors
from towermill.pipelines.recipe.simulate import Rule
from towermill.pipelines.recommend.interleave import interleave
from towermill.pipelines.simulation.feedback import Feedback
from towermill.pipelines.simulation.sources import Source


class Policy:
    """Build slates of items that their user has not seen.

    Parameters
    ----------
    item_ids
        Raw id of each row.
    memory
        The users' history in the episode.
    sources
        Where items come from, with the places of each.
    size
        Items of a slate.
    rule
        See `interleave`.
    factors
        Learn from each click, if given.
    slate_negatives
        Learn from the items passed over for a click: see `learn`.
    explore
        Share of places that go to a random item while `exploring`.
    seed
        Seed of all draws of the policy.
    """

    def __init__(
        self,
        item_ids: Sequence[Any],
        memory: Feedback,
        sources: Sequence[tuple[Source, int]],
        *,
        size: int,
        rule: Rule = "in_order",
        factors: OnlineFactors | None = None,
        slate_negatives: bool = True,
        explore: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.item_ids, self.memory, self.size, self.rule = item_ids, memory, size, rule
        self.sources = [source for source, _ in sources]
        self.quotas = [quota for _, quota in sources]
        self.factors, self.slate_negatives = factors, slate_negatives
        self.explore, self.exploring = explore, False
        self.rng = np.random.default_rng([seed, 41])
        self._rows_of_ids = {item: row for row, item in enumerate(item_ids)}

    def begin(self, weights: dict[str, Floats] | None = None) -> None:
        """Begin an episode: histories are those of the log; and with `weights`, these."""
        self.memory.reset()
        if self.factors is not None and weights is not None:
            self.factors.restore(weights)

    def slates(self, users: Sequence[Any]) -> list[list[Any]]:
        """Return a slate of raw ids for each user, shorter where nothing is left to show."""
        rows = self.memory.rows(users)
        lists = [source.candidates(rows, self.size, self.memory) for source in self.sources]
        slates = []
        for place, row in enumerate(rows):
            own = [candidates[place] for candidates in lists]
            slate = [i for i, _ in interleave(own, self.quotas, self.size, self.rule, self.rng)]
            if self.exploring and self.explore:
                slate = self._explored(slate, row)
            self.memory.show(row, slate)
            slates.append([self.item_ids[item] for item in slate])
        return slates

    def _explored(self, slate: list[int], row: int) -> list[int]:
        """Return the slate with some places given to random items that the user has not seen."""
        drawn = self.rng.integers(len(self.item_ids), size=len(slate)).tolist()
        taken = self.memory.met(row) | set(slate)
        for place in np.flatnonzero(self.rng.random(len(slate)) < self.explore).tolist():
            if drawn[place] not in taken:
                taken.add(drawn[place])
                slate[place] = drawn[place]
        return slate

    def learn(
        self, users: Sequence[Any], slates: Sequence[Sequence[Any]], clicked: Sequence[Any]
    ) -> None:
        """Note the clicked items, None for no click, and learn from them.

        With `slate_negatives`, items shown with a clicked one come first among its negatives.
        """
        clicks, passed = [], []
        for row, slate, item in zip(self.memory.rows(users), slates, clicked, strict=True):
            if item is not None:
                clicks.append((row, self._rows_of_ids[item]))
                others = [self._rows_of_ids[other] for other in slate if other != item]
                passed.append(others if self.slate_negatives else [])
        for row, item in clicks:
            self.memory.click(row, item)
        if self.factors is not None and clicks:
            who, what = (np.array(part, np.int64) for part in zip(*clicks, strict=True))
            met = [set(self.memory.clicked[row]) for row, _ in clicks]
            self.factors.learn(who, what, met, passed)
