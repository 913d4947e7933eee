"""The stage `evaluate`: rank the test split, and write ``metrics.json`` with its protocol."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from towermill.pipelines.stages.base import Inputs, Stage, model_on_gpu, protocol

if TYPE_CHECKING:
    from towermill.pipelines.recipe.recipe import Recipe
    from towermill.runtime.device import Runtime

logger = logging.getLogger(__name__)


def evaluate(recipe: Recipe, inputs: Inputs, out: Path, runtime: Runtime) -> None:
    """Rank the test split: ``metrics.json``."""
    from towermill.models.build import load_model
    from towermill.models.evaluation import PROTOCOLS
    from towermill.models.evaluation.protocol import Ranking
    from towermill.pipelines.stages.encode_on_cluster import spread_over_cluster

    data, model = load_model(inputs["process"], inputs["train"], recipe.model)
    model.spread = spread_over_cluster(inputs, recipe.model, runtime)
    rules, told = PROTOCOLS.get(data.events)(), recipe.evaluate
    metrics = rules.report(
        model,
        data,
        Ranking(told.query, told.filter_seen, told.max_queries, told.metrics),
        told.k,
        recipe.runtime.seed,
        segments=recipe.split.cold == "flag",
    )
    _compare(metrics, rules.decides)
    (out / "metrics.json").write_text(json.dumps(metrics, indent=2))


def _compare(result: dict[str, Any], decides: str) -> None:
    """Warn if the model does not beat popularity."""
    metric = next(name for name in result["metrics"] if name.startswith(decides))
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


STAGE = Stage(
    "evaluate",
    ("process", "train"),
    ("model", "evaluate", "split.cold", "runtime.seed"),
    __name__,
    evaluate,
    parts=protocol,
    spreads=True,
    gpu=model_on_gpu,
)
