"""The base class of baselines, and the data that they are computed from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import polars as pl
import scipy.sparse as sp

from towermill.columns import FIRST_ID, HISTORY, ITEM_ID, USER_ID
from towermill.models.architectures.linear.matrix import binary, interaction_matrix
from towermill.models.data.interactions import Processed
from towermill.models.data.lists import ScoreBlock
from towermill.models.data.queries import Queries


@dataclass(frozen=True)
class Given:
    """What a baseline is computed from.

    Attributes
    ----------
    data
        The processed data.
    seed
        Of draws and first values.
    validation
        Queries of the validation split, to choose settings by; None if it has none.
    """

    data: Processed
    seed: int = 0
    validation: Queries | None = None

    @cached_property
    def matrix(self) -> sp.csr_matrix:
        """Interactions of training, ``(users, items)``: see `interaction_matrix`."""
        return interaction_matrix(self.data)

    def histories(self, queries: Queries) -> sp.csr_matrix:
        """Return the items that each query's user has, ``(queries, items)``.

        Those of the query's ``history``, as a model that reads histories is given them; of data
        without histories, those of training. Columns are rows of `Processed.items`.
        """
        rows = queries.features.with_row_index("__query")
        if HISTORY in rows.columns:
            read = rows.select("__query", pl.col(HISTORY).alias(ITEM_ID))
            pairs = read.explode(ITEM_ID, empty_as_null=True).drop_nulls()
        else:
            pairs = rows.select("__query", USER_ID).join(self.data.met(), on=USER_ID)
        pairs = pairs.filter(pl.col(ITEM_ID) >= FIRST_ID)
        items = pairs[ITEM_ID].to_numpy().astype(np.int64) - FIRST_ID
        return binary(pairs["__query"].to_numpy(), items, self.data.items.height, len(queries))


class Baseline(ABC):
    """A simple way to score the catalogue, without a recipe's model.

    Attributes
    ----------
    kind
        Its name in `evaluate.baselines`.

    Examples
    --------
    >>> from towermill.models.baselines import BASELINES
    >>> sorted(BASELINES.own)
    ['als', 'ease', 'item_knn', 'popularity', 'random']
    """

    kind: ClassVar[str]

    def affordable(self, data: Processed) -> bool:
        """Return whether it is cheap enough for a recipe that does not name it."""
        return True

    @abstractmethod
    def scores(self, given: Given, queries: Queries) -> ScoreBlock:
        """Return the scores of every item of `Processed.catalogue` for blocks of the queries."""
