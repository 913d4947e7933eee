"""The stage `evaluate`: rank the test split, and write ``metrics.json`` with its protocol."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from towermill.models.baselines import BASELINES, DEFAULT
from towermill.models.configs import MODELS
from towermill.pipelines.stages.base import Inputs, Stage, model_on_gpu, protocol
from towermill.registry import Place

if TYPE_CHECKING:
    from towermill.pipelines.recipe.recipe import Recipe
    from towermill.runtime.device import Runtime

logger = logging.getLogger(__name__)


def evaluate(recipe: Recipe, inputs: Inputs, out: Path, runtime: Runtime) -> None:
    """Rank the test split: ``metrics.json``, and ``queries.parquet`` with those of each query."""
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
        Ranking(told.query, told.filter_seen, told.max_queries, told.metrics, told.baselines),
        told.k,
        recipe.runtime.seed,
        segments=recipe.split.cold == "flag",
        by_query=out / "queries.parquet",
    )
    _compare(metrics, rules.decides, recipe.model.kind)
    (out / "metrics.json").write_text(json.dumps(metrics, indent=2))


def _compare(result: dict[str, Any], decides: str, kind: str) -> None:
    """Warn of the baselines that the model does not beat; a baseline of its own kind is none."""
    metric = next(name for name in result["metrics"] if name.startswith(decides))
    found = result["metrics"][metric]
    reached = {name: values[metric] for name, values in result["baselines"].items()}
    better = {n: v for n, v in reached.items() if n != kind and found <= v}
    if not better:
        return
    kinds = [name for name in sorted(better, key=lambda name: -better[name]) if name in MODELS.own]
    instead = f", or serve the baseline (`model: {{kind: {kinds[0]}}}`)" if kinds else ""
    logger.warning(
        "The model does not beat %s: %s is %.4f, and %s. Train longer (train.epochs, "
        "train.patience), in smaller steps (train.batch_size), or with fewer weights (see `model` "
        "in docs/recipes.md)%s.",
        " and ".join(better),
        metric,
        found,
        ", ".join(f"{name}'s {value:.4f}" for name, value in better.items()),
        instead,
    )


def _parts(recipe: Recipe) -> Sequence[Place]:
    """Return where the evaluation and its baselines are defined."""
    if recipe.events != "interactions":
        return protocol(recipe)
    names = DEFAULT if recipe.evaluate.baselines is None else recipe.evaluate.baselines
    return (*protocol(recipe), *(BASELINES.place(name) for name in names))


STAGE = Stage(
    "evaluate",
    ("process", "train"),
    ("model", "evaluate", "split.cold", "runtime.seed"),
    __name__,
    evaluate,
    parts=_parts,
    spreads=True,
    gpu=model_on_gpu,
)
