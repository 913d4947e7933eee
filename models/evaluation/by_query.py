"""The metrics of each query, for slices of them and for comparisons between runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import polars as pl
from numpy.typing import NDArray

from towermill.columns import BASELINE_PREFIX, FIRST_ID, ITEM_ID, RAW_PREFIX, USER_ID
from towermill.models.data.interactions import Processed
from towermill.models.data.lists import TopK
from towermill.models.data.queries import Queries
from towermill.models.evaluation.feature_slices import feature_slices
from towermill.models.evaluation.slices import report_slices, slices
from towermill.models.metrics.catalogue.base import hits

Floats = NDArray[np.float64]

#: Where slices of users by their training rows begin: none, 1-4, 5-19, 20-99, 100+.
ACTIVITY_BINS: Final = (1, 5, 20, 100)
#: Slices of items by popularity, each with a third of the training rows.
POPULARITY: Final = ("head", "middle", "tail")


@dataclass(frozen=True, eq=False)
class ByQuery:
    """The metrics of each query, of a model and of its baselines.

    Attributes
    ----------
    query
        uint64 ``(queries,)``: digests that are equal where user and answers are, in any run.
    users
        int64 ``(queries,)``: whose query it is, for a bootstrap over users.
    values
        The model's metrics, ``(queries,)`` each.
    baselines
        The deciding metric of each baseline, ``(queries,)`` each.
    """

    query: NDArray[np.uint64]
    users: NDArray[np.int64]
    values: Mapping[str, Floats]
    baselines: Mapping[str, Floats]

    def write(self, path: Path) -> None:
        """Write them as Parquet: ``query``, ``user``, each metric, ``baseline:<name>``."""
        measured = {
            **self.values,
            **{f"{BASELINE_PREFIX}{n}": v for n, v in self.baselines.items()},
        }
        pl.DataFrame(
            {"query": self.query, "user": self.users}
            | {name: pl.Series(value, dtype=pl.Float32) for name, value in measured.items()}
        ).write_parquet(path)


def users_of(queries: pl.DataFrame) -> NDArray[np.int64]:
    """Return the encoded user of each query, and a negative number for each of an unknown one.

    Examples
    --------
    >>> users_of(pl.DataFrame({"user_id": [3, 2, 2, 3]})).tolist()
    [3, -2, -3, 3]
    """
    users = queries[USER_ID].to_numpy().astype(np.int64)
    return np.where(users < FIRST_ID, -1 - np.arange(len(users)), users)


def digests(values: pl.Series) -> NDArray[np.uint64]:
    """Return a digest of each value's text, the same in every process and version.

    Examples
    --------
    >>> bool(digests(pl.Series([7]))[0] == digests(pl.Series(["7"]))[0])
    True
    """
    texts = values.cast(pl.String).fill_null("").to_numpy().astype(object)
    found: NDArray[np.uint64] = pd.util.hash_array(texts, categorize=False)
    return found


def query_digests(data: Processed, queries: Queries) -> NDArray[np.uint64]:
    """Return a digest of each query's user and answers, by raw ids, uint64 ``(queries,)``."""
    relevant = queries.relevant
    used, place = np.unique(relevant.values, return_inverse=True)
    items = digests(data.catalogue[RAW_PREFIX + ITEM_ID].gather(used))[place]
    # The sum of a set is independent of its order; uint64 wraps around.
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(items, dtype=np.uint64)])
    answers = sums[relevant.offsets[1:]] - sums[relevant.offsets[:-1]]
    encoded = queries.features[USER_ID].cast(pl.Int64)
    known = data.users[RAW_PREFIX + USER_ID].gather(encoded.clip(FIRST_ID) - FIRST_ID)
    users = digests(known) if data.users.height else np.zeros(len(queries), np.uint64)
    users[encoded.to_numpy() < FIRST_ID] = 0
    found: NDArray[np.uint64] = users * np.uint64(31) + answers
    return found


def catalogue_slices(
    tops: Mapping[str, TopK],
    values: Mapping[str, Floats],
    data: Processed,
    queries: Queries,
    k: int,
    metric: str,
) -> dict[str, Any]:
    """Return the metrics in slices of users, and recall in slices of items.

    Users are cut by their training rows and by their features, items by popularity and by their
    features: see `feature_slices`.

    Parameters
    ----------
    tops
        The lists of the model, whose name is empty, and of the baselines.
    values
        The deciding metric of each query, by the same names.
    data, queries
        What was ranked.
    k
        The cut-off.
    metric
        Name of the deciding metric.

    Returns
    -------
    By slice, ``queries`` or ``answers``, ``metrics`` and ``baselines``. ``item:head``,
    ``item:middle`` and ``item:tail`` are of the most to the least popular items, each of them with
    a third of the training rows.
    """
    trained = data.scan("train").filter(pl.col(USER_ID) >= FIRST_ID).group_by(USER_ID).len()
    own = queries.features.select(USER_ID).join(
        trained.collect(), on=USER_ID, how="left", maintain_order="left"
    )
    rows = own["len"].fill_null(0).to_numpy().astype(np.int64)
    activity = slices(history_lengths=rows, history_bins=ACTIVITY_BINS)
    masks = {name.replace("history", "user", 1): mask for name, mask in activity.items()}
    user = queries.features[USER_ID].to_numpy().astype(np.int64) - FIRST_ID
    for name, mask in feature_slices(data.users, "user").items():
        masks[name] = (user >= 0) & mask[np.maximum(user, 0)]
    found = _with_baselines(values, masks, metric, "queries")
    third = _third_of_rows(data.catalogue_counts)
    kinds = {f"item:{name}": third == nth for nth, name in enumerate(POPULARITY)}
    kinds |= feature_slices(data.catalogue, "item")
    places = {name: mask[queries.relevant.values] for name, mask in kinds.items()}
    recalled = {name: _recalled(top, data, queries, k) for name, top in tops.items()}
    return found | _with_baselines(recalled, places, f"recall@{k}", "answers")


def _with_baselines(
    values: Mapping[str, Floats], masks: Mapping[str, NDArray[Any]], metric: str, of: str
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, found in report_slices(values, masks).items():
        means: Any = found["metrics"]
        baselines = {other: mean for other, mean in means.items() if other}
        own = {metric: means[""]}
        result[name] = {of: found["impressions"], "metrics": own, "baselines": baselines}
    return result


def _third_of_rows(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return 0 for the most popular items, which hold a third of the rows; then 1, and 2."""
    order = np.argsort(-counts, kind="stable")
    before = np.cumsum(counts[order]) - counts[order]
    third = np.empty(len(counts), np.int64)
    third[order] = np.minimum(3 * before // max(int(counts.sum()), 1), 2)
    return third


def _recalled(top: TopK, data: Processed, queries: Queries, k: int) -> Floats:
    """Return 1 for each answer that is among the first `k` of its query, else 0."""
    relevant, items = queries.relevant, data.items.height
    cut = TopK(top.positions[:, :k], top.scores[:, :k])
    row, place = np.nonzero(hits(cut, relevant, items))
    found = row.astype(np.int64) * items + cut.positions[row, place]
    answers = relevant.rows * items + relevant.values
    return np.isin(answers, found).astype(np.float64)
