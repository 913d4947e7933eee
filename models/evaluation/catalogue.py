"""The catalogue protocol: every item ranked for each held-out query."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from towermill.errors import DataError
from towermill.models.configs.train import TARGET_MONITORS
from towermill.models.data.interactions import Processed, Queries
from towermill.models.data.lists import ScoreBlock
from towermill.models.data.targets import PositiveRows
from towermill.models.evaluation.baselines import popularity_scores, random_scores
from towermill.models.evaluation.protocol import Model, Protocol, Ranking, Validation
from towermill.models.evaluation.targets import evaluate_targets, validation_of_targets
from towermill.models.evaluation.top_k import top_k
from towermill.models.metrics.catalogue.ranking import ranking_metrics
from towermill.progress import progress

logger = logging.getLogger(__name__)


def rank_catalogue(
    scores: ScoreBlock,
    data: Processed,
    queries: Queries,
    k: Sequence[int],
    metrics: Sequence[str] = (),
) -> dict[str, float]:
    """Return the ranking metrics of any scorer at each cut-off `k`.

    `metrics` names some beside Towermill's own.
    """
    items = data.items.height
    with progress() as bars:
        bar = bars.add_task("ranking", total=len(queries))
        top = top_k(
            scores, len(queries), items, max(k), queries.seen, advance=partial(bars.advance, bar)
        )
    return ranking_metrics(
        top,
        queries.relevant,
        k,
        data.catalogue_counts,
        items,
        profiles=queries.seen,
        metrics=metrics,
    )


def evaluate_catalogue(
    model: Model,
    data: Processed,
    queries: Queries,
    k: Sequence[int],
    metrics: Sequence[str] = (),
) -> dict[str, float]:
    """Return the model's ranking metrics.

    A retriever encodes each item once, each query once; a ranker scores every pair.
    """
    scores = model.scores(queries.features, data.catalogue)
    return rank_catalogue(scores, data, queries, k, metrics)


def evaluate_baselines(
    data: Processed,
    queries: Queries,
    k: Sequence[int],
    seed: int,
    metrics: Sequence[str] = (),
) -> dict[str, dict[str, float]]:
    """Return what popularity in the training split and chance reach on the same queries."""
    scorers = {
        "popularity": popularity_scores(data.catalogue_counts),
        "random": random_scores(seed, data.items.height),
    }
    return {n: rank_catalogue(s, data, queries, k, metrics) for n, s in scorers.items()}


class CatalogueProtocol(Protocol):
    """Ranks the whole catalogue for each held-out query."""

    kind: ClassVar[str] = "interactions"
    decides: ClassVar[str] = "ndcg@"

    def open(self, processed: Path) -> Processed:
        return Processed(processed)

    def validation(self, data: Processed, monitor: str, ranking: Ranking) -> Validation | None:
        if monitor in TARGET_MONITORS:
            return validation_of_targets(data)
        if not data.has("validation"):
            return None
        queries = data.queries(
            "validation", ranking.query, ranking.filter_seen, limit=ranking.max_queries
        )
        if not len(queries):
            logger.warning(
                "The validation split has no answer to rank: its %d rows hold unknown items or "
                "repeat what was seen. Training runs for all epochs and keeps the last.",
                queries.cold + queries.repeated,
            )
            return None
        k = int(monitor.partition("@")[2])
        return partial(
            evaluate_catalogue, data=data, queries=queries, k=(k,), metrics=ranking.metrics
        )

    def report(
        self,
        model: Model,
        data: Processed,
        ranking: Ranking,
        k: Sequence[int] | None,
        seed: int,
        *,
        segments: bool = False,
    ) -> dict[str, Any]:
        """Return the metrics of the catalogue protocol.

        ``metrics`` are means over ``queries``: users, or held-out rows with the query
        ``interaction``; with `max_queries` a sample of ``queries_in_all``. ``baselines`` are on the
        same queries. ``left_out`` counts held-out rows that no ranking can answer: items unknown to
        the catalogue, and with `filter_seen` those seen before. ``segments`` has the metrics of
        known and of new users.

        Of a ranker with targets, only rows where the first is positive are answers and count as
        seen, and ``targets`` has the metrics of `evaluate_targets` for each.
        """
        k = k or (10, 100)
        whole, data = data, PositiveRows(data.path, model.targets[0]) if model.targets else data
        queries = data.queries(
            "test", ranking.query, ranking.filter_seen, limit=ranking.max_queries
        )
        if not len(queries):
            raise DataError(
                "The test split should hold rows to rank; of its rows, "
                f"{queries.cold} are of items unknown to the catalogue and {queries.repeated} of "
                "items that the user had seen before. Change `split`, or set "
                "`evaluate.filter_seen: false`."
            )
        result: dict[str, Any] = {
            "protocol": "catalogue",
            "split": "test",
            "query": ranking.query,
            "filter_seen": ranking.filter_seen,
            "queries": len(queries),
            "queries_in_all": queries.total,
            "catalogue": data.items.height,
            "left_out": {"cold_items": queries.cold, "seen_before": queries.repeated},
            "metrics": evaluate_catalogue(model, data, queries, k, ranking.metrics),
            "baselines": evaluate_baselines(data, queries, k, seed, ranking.metrics),
        }
        if segments:
            result["segments"] = _segments(model, data, ranking, k)
        if model.targets:
            result["targets"] = evaluate_targets(model, whole, "test")
        return result


def _segments(model: Model, data: Processed, ranking: Ranking, k: Sequence[int]) -> dict[str, Any]:
    found = {}
    for segment in ("warm", "cold_user"):
        queries = data.queries(
            "test", ranking.query, ranking.filter_seen, segment, limit=ranking.max_queries
        )
        if len(queries):
            found[segment] = {
                "queries": len(queries),
                "metrics": evaluate_catalogue(model, data, queries, k, ranking.metrics),
            }
    return found
