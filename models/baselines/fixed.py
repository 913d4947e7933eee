"""Baselines that do not look at the user: popularity and chance."""

from __future__ import annotations

from typing import ClassVar

from towermill.models.baselines.base import Baseline, Given
from towermill.models.data.lists import ScoreBlock
from towermill.models.data.queries import Queries
from towermill.models.evaluation.baselines import popularity_scores, random_scores


class Popularity(Baseline):
    """Score an item by its rows in training, the same for everybody.

    Examples
    --------
    >>> from towermill.models.baselines import BASELINES
    >>> BASELINES.get("popularity").__name__
    'Popularity'
    """

    kind: ClassVar[str] = "popularity"

    def scores(self, given: Given, queries: Queries) -> ScoreBlock:
        return popularity_scores(given.data.catalogue_counts)


class Chance(Baseline):
    """Score every item by a draw of its own.

    Examples
    --------
    >>> from towermill.models.baselines import BASELINES
    >>> BASELINES.get("random").__name__
    'Chance'
    """

    kind: ClassVar[str] = "random"

    def scores(self, given: Given, queries: Queries) -> ScoreBlock:
        return random_scores(given.seed, given.data.items.height)
