"""Paired differences between a model and its baselines, query by query."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from towermill.models.evaluation.bootstrap import bootstrap_by_user
from towermill.models.evaluation.by_query import users_of

Floats = NDArray[np.float64]

#: Draws of users that a bootstrap may take.
_DRAWS = 10**8


def paired_differences(
    values: Floats, others: Mapping[str, Floats], queries: pl.DataFrame, seed: int
) -> dict[str, dict[str, Any]]:
    """Return by how much a model's metric exceeds each baseline's, the mean over the queries.

    The interval is the 95 % bootstrap over users (see `bootstrap_by_user`) of the mean difference
    on the same queries: far narrower than the intervals of the two means, as what is hard for one
    is hard for the other. There is none for a single user.

    Parameters
    ----------
    values
        The model's metric, ``(queries,)``.
    others
        Each baseline's.
    queries
        The queries' features; each row of an unknown user counts as a user.
    seed
        Of the bootstrap.

    Examples
    --------
    >>> queries = pl.DataFrame({"user_id": [3, 4]})
    >>> paired_differences(np.array([1.0, 0.5]), {"random": np.array([0.5, 0.0])}, queries, seed=0)
    {'random': {'difference': 0.5, 'interval': [0.5, 0.5]}}
    """
    differences = {name: values - other for name, other in others.items()}
    users = users_of(queries)
    count = len(np.unique(users))
    intervals: Mapping[str, tuple[float, float] | None] = dict.fromkeys(differences)
    if count > 1:
        samples = min(1000, max(100, _DRAWS // count))
        intervals = bootstrap_by_user(differences, users, samples, seed=seed)
    return {
        name: {
            "difference": float(np.nanmean(difference)),
            "interval": None if intervals[name] is None else list(intervals[name] or ()),
        }
        for name, difference in differences.items()
    }
