"""The test split ranked: ``metrics.json``, which always names its protocol."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from towermill.errors import DataError
from towermill.models.data import Processed
from towermill.models.evaluation import evaluate_baselines, evaluate_retriever
from towermill.models.retriever import Spread
from towermill.models.train import load_model
from towermill.pipelines.recipe import Recipe

logger = logging.getLogger(__name__)


def evaluate_model(
    processed: Path, trained: Path, recipe: Recipe, spread: Spread | None = None
) -> dict[str, Any]:
    """Return the content of ``metrics.json`` for the catalogue protocol.

    ``metrics`` are means over ``queries``: users, or held-out rows with `evaluate.query:
    interaction`; with `evaluate.max_queries` a sample of ``queries_in_all``. ``baselines`` stand on
    the same queries. ``left_out`` counts held-out rows that no ranking can answer: items unknown to
    the catalogue, and with `filter_seen` those met before.
    With ``split.cold: flag``, ``segments`` gives the metrics of known and of new users apart.
    `spread` encodes users and items elsewhere.
    """
    config = recipe.evaluate
    data, retriever = load_model(processed, trained, recipe.model, spread)
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
        "metrics": evaluate_retriever(retriever, data, queries, config.k),
        "baselines": evaluate_baselines(data, queries, config.k, recipe.runtime.seed),
    }
    _compare(result)
    if recipe.split.cold == "flag":
        result["segments"] = _segments(data, retriever, recipe)
    return result


def _compare(result: dict[str, Any]) -> None:
    """Say so if the model is no better than popularity."""
    k = min(int(name.partition("@")[2]) for name in result["metrics"])
    model = result["metrics"][f"ndcg@{k}"]
    popularity = result["baselines"]["popularity"][f"ndcg@{k}"]
    if model <= popularity:
        logger.warning(
            "The model does not beat popularity: ndcg@%d is %.4f, popularity's %.4f. Train longer "
            "(train.epochs, train.patience), in smaller steps (train.batch_size), or with fewer "
            "weights (model.tower=[] model.embedding_dim=32).",
            k,
            model,
            popularity,
        )


def _segments(data: Processed, retriever: Any, recipe: Recipe) -> dict[str, Any]:
    config, found = recipe.evaluate, {}
    for segment in ("warm", "cold_user"):
        queries = data.queries(
            "test", config.query, config.filter_seen, segment, limit=config.max_queries
        )
        if len(queries):
            found[segment] = {
                "queries": len(queries),
                "metrics": evaluate_retriever(retriever, data, queries, config.k),
            }
    return found
