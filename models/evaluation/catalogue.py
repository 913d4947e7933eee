"""The catalogue protocol: every item ranked for each held-out query."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from towermill.errors import DataError
from towermill.models.baselines import BASELINES, DEFAULT
from towermill.models.baselines.base import Given
from towermill.models.configs.train import TARGET_MONITORS
from towermill.models.data.interactions import Processed
from towermill.models.data.lists import ScoreBlock, TopK
from towermill.models.data.queries import Queries
from towermill.models.data.targets import answers_of
from towermill.models.evaluation.by_query import (
    ByQuery,
    catalogue_slices,
    query_digests,
    users_of,
)
from towermill.models.evaluation.paired import paired_differences
from towermill.models.evaluation.protocol import Model, Protocol, Ranking, Validation
from towermill.models.evaluation.targets import evaluate_targets, validation_of_targets
from towermill.models.evaluation.top_k import top_k
from towermill.models.metrics.catalogue.ranking import per_query, ranking_metrics
from towermill.progress import progress

logger = logging.getLogger(__name__)

#: Queries of the validation split by which baselines choose their settings, at most.
_SAMPLE = 1000


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
    return measure(ranked(scores, data, queries, max(k)), data, queries, k, metrics)


def ranked(scores: ScoreBlock, data: Processed, queries: Queries, k: int) -> TopK:
    """Return the best `k` items of each query, seen ones left out."""
    with progress() as bars:
        bar = bars.add_task("ranking", total=len(queries))
        advance = partial(bars.advance, bar)
        return top_k(scores, len(queries), data.items.height, k, queries.seen, advance=advance)


def measure(
    top: TopK, data: Processed, queries: Queries, k: Sequence[int], metrics: Sequence[str] = ()
) -> dict[str, float]:
    """Return the ranking metrics of ranked lists."""
    return ranking_metrics(
        top,
        queries.relevant,
        k,
        data.catalogue_counts,
        data.items.height,
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


def rank_baselines(
    names: Sequence[str] | None, given: Given, queries: Queries, k: int
) -> dict[str, TopK]:
    """Return the best `k` items of each query by each of these baselines.

    By default, those of `towermill.models.baselines.DEFAULT` that are cheap enough.
    """
    found = {}
    for name in DEFAULT if names is None else names:
        baseline = BASELINES.get(name)()
        if names is None and not baseline.affordable(given.data):
            logger.info(
                "Left out the baseline %s: the data is large. To have it computed, name it in "
                "`evaluate.baselines`.",
                name,
            )
            continue
        found[name] = ranked(baseline.scores(given, queries), given.data, queries, k)
    return found


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
        by_query: Path | None = None,
    ) -> dict[str, Any]:
        """Return the metrics of the catalogue protocol.

        ``metrics`` are means over ``queries``: users, or held-out rows with the query
        ``interaction``; with `max_queries` a sample of ``queries_in_all``. ``baselines`` are on the
        same queries. ``left_out`` counts held-out rows that no ranking can answer: items unknown to
        the catalogue, and with `filter_seen` those seen before. ``segments`` has the metrics of
        known and of new users. ``compared`` has the deciding metric's paired differences to the
        baselines: see `paired_differences`. ``slices`` are those of `catalogue_slices`.

        Of a ranker with targets, only rows where the first is positive are answers and count as
        seen, and ``targets`` has the metrics of `evaluate_targets` for each.
        """
        k = k or (10, 100)
        whole, data = data, answers_of(data, model.targets)
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
        scores = model.scores(queries.features, data.catalogue)
        top = ranked(scores, data, queries, max(k))
        given = Given(data, seed, _to_choose_by(data, ranking))
        baselines = rank_baselines(ranking.baselines, given, queries, max(k))
        measured = {
            name: measure(found, data, queries, k, ranking.metrics)
            for name, found in {"": top, **baselines}.items()
        }
        result: dict[str, Any] = {
            "protocol": "catalogue",
            "split": "test",
            "query": ranking.query,
            "filter_seen": ranking.filter_seen,
            "queries": len(queries),
            "queries_in_all": queries.total,
            "catalogue": data.items.height,
            "left_out": {"cold_items": queries.cold, "seen_before": queries.repeated},
            "metrics": measured.pop(""),
            "baselines": measured,
        }
        metric, items = f"{self.decides}{k[0]}", data.items.height
        values = {
            name: per_query(found, queries.relevant, (k[0],), None, items)[metric]
            for name, found in baselines.items()
        }
        own = per_query(top, queries.relevant, k, None, items, metrics=ranking.metrics)
        differences = paired_differences(own[metric], values, queries.features, seed)
        result["compared"] = {"metric": metric, "baselines": differences}
        both = {"": own[metric], **values}
        tops = {"": top, **baselines}
        result["slices"] = catalogue_slices(tops, both, data, queries, k[0], metric)
        if by_query is not None:
            digests = query_digests(data, queries)
            ByQuery(digests, users_of(queries.features), own, values).write(by_query)
        if segments:
            result["segments"] = _segments(model, data, ranking, k)
        if model.targets:
            result["targets"] = evaluate_targets(model, whole, "test")
        return result


def _to_choose_by(data: Processed, ranking: Ranking) -> Queries | None:
    """Return a sample of the validation split's queries, for baselines to choose settings by."""
    if not data.has("validation"):
        return None
    return data.queries("validation", ranking.query, ranking.filter_seen, limit=_SAMPLE)


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
