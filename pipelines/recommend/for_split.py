"""Write the ranked lists of a run's held-out queries, for others to evaluate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from towermill.columns import FIRST_ID, ITEM_ID, RAW_PREFIX, USER_ID
from towermill.files import replacing
from towermill.models.data.interactions import Processed
from towermill.models.data.lists import TopK
from towermill.models.data.queries import Queries
from towermill.pipelines.recommend.combined.evaluation import Evaluation
from towermill.pipelines.recommend.held_out import FinishedRun, check_split
from towermill.pipelines.recommend.open import is_combination
from towermill.pipelines.search.exact import check_k
from towermill.pipelines.stages.output import require_target


@dataclass(frozen=True)
class Lists:
    """The counts of what `recommend_split` wrote: queries, and rows."""

    queries: int
    rows: int


def recommend_split(run: Path, out: Path, split: str = "test", k: int = 10) -> Lists:
    """Write the model's best `k` items for each query that the stage `evaluate` ranks.

    The queries, and what is left out as seen, are by the recipe's `evaluate`: from the lists of
    ``test`` follow the metrics up to the cut-off `k` in ``metrics.json``.

    Parameters
    ----------
    run
        ``runs/<recipe>/latest``, or another finished run of interactions; or the YAML file of a
        funnel, whose retriever's run gives the queries.
    out
        The Parquet file, which appears whole or not at all: ``user_id`` and ``item_id`` (raw),
        ``rank`` (int32, from 1), ``score`` (float32) and ``query`` (int32, from 0). A user has
        several queries with `evaluate.query: interaction`. The id of users who are unknown to
        training is null.
    split
        ``test`` or ``validation``.
    k
        Items per query; one whose user has seen nearly all items has fewer.

    Raises
    ------
    DataError
        `split` is neither or has nothing to rank, the run is not finished or not of interactions,
        or `out` is a folder.
    """
    check_k(k)
    check_split(split)
    require_target(out)
    if is_combination(run):
        found = Evaluation.of(run).rank(split, k)
    else:
        found = FinishedRun(run).rank(split, k)
    table = _table(found.top, found.data, found.queries)
    with replacing(out) as partial:
        table.write_parquet(partial)
    return Lists(len(found.queries), table.height)


def _table(top: TopK, data: Processed, queries: Queries) -> pl.DataFrame:
    """Return the lists with raw ids, a row an item."""
    row, place = np.nonzero(top.positions >= 0)
    items = data.ranking_order[top.positions[row, place]]
    users = queries.features[USER_ID].cast(pl.Int64)
    known = data.users[RAW_PREFIX + USER_ID]
    of_query = known.gather(users.clip(FIRST_ID) - FIRST_ID)
    of_query = pl.select(pl.when(users >= FIRST_ID).then(of_query)).to_series()
    return pl.DataFrame(
        {
            USER_ID: of_query.gather(row),
            ITEM_ID: data.items[RAW_PREFIX + ITEM_ID].gather(items),
            "rank": (place + 1).astype(np.int32),
            "score": pl.Series(top.scores[row, place], dtype=pl.Float32).fill_nan(None),
            "query": row.astype(np.int32),
        }
    )
