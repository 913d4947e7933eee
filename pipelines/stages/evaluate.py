"""The test split ranked: ``metrics.json``, which always names its protocol."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from towermill.errors import DataError
from towermill.models.contracts.ranker import Ranker
from towermill.models.contracts.retriever import Retriever, Spread
from towermill.models.data.impressions import ImpressionData
from towermill.models.data.interactions import Processed
from towermill.models.evaluation.catalogue import evaluate_baselines, evaluate_catalogue
from towermill.models.evaluation.impressions import report_impressions
from towermill.models.training.train import load_model
from towermill.pipelines.recipe.recipe import Recipe

logger = logging.getLogger(__name__)


def evaluate_model(
    processed: Path, trained: Path, recipe: Recipe, spread: Spread | None = None
) -> dict[str, Any]:
    """Return the content of ``metrics.json``: by the protocol that the model's kind is for.

    `spread` encodes users and items elsewhere.
    """
    data, model = load_model(processed, trained, recipe.model)
    if isinstance(model, Retriever):
        model.spread = spread
    if isinstance(data, ImpressionData):
        return _within_impressions(data, model, recipe)
    return _over_catalogue(data, model, recipe)


def _within_impressions(
    data: ImpressionData, model: Retriever | Ranker, recipe: Recipe
) -> dict[str, Any]:
    """Return the metrics of the impression protocol: see `report_impressions`."""
    config = recipe.evaluate
    slates = data.slates("test").sample(config.max_queries)
    if not slates.rankable.any():
        raise DataError(
            f"The test split should hold impressions with a click and something else shown; of "
            f"its {len(slates)} none is. Change `split`."
        )
    result: dict[str, Any] = {"protocol": "impression", "split": "test"}
    result |= report_impressions(model, data, slates, config.k or (5, 10), recipe.runtime.seed)
    _compare(result, "auc")
    return result


def _over_catalogue(data: Processed, model: Retriever | Ranker, recipe: Recipe) -> dict[str, Any]:
    """Return the metrics of the catalogue protocol.

    ``metrics`` are means over ``queries``: users, or held-out rows with `evaluate.query:
    interaction`; with `evaluate.max_queries` a sample of ``queries_in_all``. ``baselines`` stand on
    the same queries. ``left_out`` counts held-out rows that no ranking can answer: items unknown to
    the catalogue, and with `filter_seen` those met before.
    With ``split.cold: flag``, ``segments`` gives the metrics of known and of new users apart.
    """
    config = recipe.evaluate
    k = config.k or (10, 100)
    queries = data.queries("test", config.query, config.filter_seen, limit=config.max_queries)
    if not len(queries):
        raise DataError(
            "The test split should hold rows to rank; of its rows, "
            f"{queries.cold} are of items unknown to the catalogue and {queries.repeated} of items "
            "that the user met before. Change `split`, or set `evaluate.filter_seen: false`."
        )
    result: dict[str, Any] = {
        "protocol": "catalogue",
        "split": "test",
        "query": config.query,
        "filter_seen": config.filter_seen,
        "queries": len(queries),
        "queries_in_all": queries.total,
        "catalogue": data.items.height,
        "left_out": {"cold_items": queries.cold, "seen_before": queries.repeated},
        "metrics": evaluate_catalogue(model, data, queries, k),
        "baselines": evaluate_baselines(data, queries, k, recipe.runtime.seed),
    }
    _compare(result, f"ndcg@{min(k)}")
    if recipe.split.cold == "flag":
        result["segments"] = _segments(data, model, recipe, k)
    return result


def _compare(result: dict[str, Any], metric: str) -> None:
    """Say so if the model is no better than popularity."""
    found, popularity = result["metrics"][metric], result["baselines"]["popularity"][metric]
    if found <= popularity:
        logger.warning(
            "The model does not beat popularity: %s is %.4f, popularity's %.4f. Train longer "
            "(train.epochs, train.patience), in smaller steps (train.batch_size), or with fewer "
            "weights (see `model` in docs/recipes.md).",
            metric,
            found,
            popularity,
        )


def _segments(
    data: Processed, model: Retriever | Ranker, recipe: Recipe, k: Sequence[int]
) -> dict[str, Any]:
    config, found = recipe.evaluate, {}
    for segment in ("warm", "cold_user"):
        queries = data.queries(
            "test", config.query, config.filter_seen, segment, limit=config.max_queries
        )
        if len(queries):
            found[segment] = {
                "queries": len(queries),
                "metrics": evaluate_catalogue(model, data, queries, k),
            }
    return found
