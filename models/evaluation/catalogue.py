"""The catalogue protocol: every item ranked for each held-out query."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from towermill.models.contracts.ranker import Ranker
from towermill.models.contracts.retriever import Retriever
from towermill.models.data.interactions import Processed, Queries
from towermill.models.data.lists import ScoreBlock
from towermill.models.evaluation.baselines import popularity_scores, random_scores
from towermill.models.evaluation.top_k import dot_product_scores, top_k
from towermill.models.metrics.catalogue import ranking_metrics
from towermill.progress import progress


def rank_catalogue(
    scores: ScoreBlock, data: Processed, queries: Queries, k: Sequence[int]
) -> dict[str, float]:
    """Return the ranking metrics of any scorer at each cut-off `k`."""
    items = data.items.height
    with progress() as bars:
        bar = bars.add_task("ranking", total=len(queries))
        top = top_k(
            scores, len(queries), items, max(k), queries.seen, advance=partial(bars.advance, bar)
        )
    return ranking_metrics(
        top, queries.relevant, k, data.catalogue_counts, items, profiles=queries.seen
    )


def evaluate_catalogue(
    model: Retriever | Ranker, data: Processed, queries: Queries, k: Sequence[int]
) -> dict[str, float]:
    """Return the model's ranking metrics.

    A retriever encodes each item once, each query once; a ranker scores every pair.
    """
    if isinstance(model, Ranker):
        return rank_catalogue(model.scores(queries.features, data.catalogue), data, queries, k)
    scores = dot_product_scores(
        model.embed_queries(queries.features), model.embed_items(data.catalogue)
    )
    return rank_catalogue(scores, data, queries, k)


def evaluate_baselines(
    data: Processed, queries: Queries, k: Sequence[int], seed: int
) -> dict[str, dict[str, float]]:
    """Return what popularity in the training split and chance reach on the same queries."""
    scorers = {
        "popularity": popularity_scores(data.catalogue_counts),
        "random": random_scores(seed, data.items.height),
    }
    return {name: rank_catalogue(scorer, data, queries, k) for name, scorer in scorers.items()}
