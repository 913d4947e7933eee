"""Write the ranked lists of a run's held-out queries, for others to evaluate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from towermill.columns import FIRST_ID, ITEM_ID, RAW_PREFIX, USER_ID
from towermill.errors import DataError
from towermill.files import replacing
from towermill.models.build import load_model
from towermill.models.configs import MODELS
from towermill.models.data.interactions import Processed, Queries
from towermill.models.data.lists import TopK
from towermill.models.data.targets import answers_of
from towermill.models.evaluation.catalogue import ranked
from towermill.pipelines.bundle.manifest import MANIFEST, parse_manifest
from towermill.pipelines.recipe.sections import EvaluateConfig
from towermill.pipelines.search.exact import check_k
from towermill.pipelines.stages.output import require_target

#: Splits whose lists can be written.
HELD_OUT = ("validation", "test")


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
        ``runs/<recipe>/latest``, or another finished run of interactions.
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
    if split not in HELD_OUT:
        raise DataError(f"`split` should be {' or '.join(HELD_OUT)}. Received: {split!r}.")
    require_target(out)
    recipe = _recipe_of(run)
    config = MODELS.get(recipe["model"]["kind"]).model_validate(recipe["model"])
    data, model = load_model(run / "process", run / "train", config)
    if data.events != "interactions":
        raise DataError(
            f"Expected a run that ranks the catalogue; {run} ranks impressions. For the lists of "
            "these: `towermill predict`."
        )
    data = answers_of(data, model.targets)
    told = EvaluateConfig.model_validate(recipe["evaluate"])
    queries = _queries(data, split, told)
    top = ranked(model.scores(queries.features, data.catalogue), data, queries, k)
    table = _table(top, data, queries)
    with replacing(out) as partial:
        table.write_parquet(partial)
    return Lists(len(queries), table.height)


def _recipe_of(run: Path) -> dict[str, Any]:
    bundle = run / "bundle"
    if not (bundle / MANIFEST).is_file():
        hint = f" Did you mean {run / 'latest'}?" if (run / "latest").is_dir() else ""
        raise DataError(
            f"No finished run at {run}. Expected a folder such as runs/<recipe>/latest, which is "
            f"there after `towermill run`.{hint}"
        )
    return dict(parse_manifest(bundle).recipe)


def _queries(data: Processed, split: str, told: EvaluateConfig) -> Queries:
    """Return the queries of the protocol; refuse a split without any."""
    if data.has(split):
        queries = data.queries(
            "validation" if split == "validation" else "test",
            told.query,
            told.filter_seen,
            limit=told.max_queries,
        )
        if len(queries):
            return queries
    raise DataError(
        f"The split {split!r} should hold rows to rank; it holds none. Change `split` in the "
        "recipe and run it again, or choose the other split."
    )


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
            "score": top.scores[row, place].astype(np.float32),
            "query": row.astype(np.int32),
        }
    )
