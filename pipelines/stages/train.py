"""The stage `train`: encoded splits to a trained model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from towermill.pipelines.stages.base import Inputs, Stage, model_on_gpu, protocol

if TYPE_CHECKING:
    from towermill.pipelines.recipe.recipe import Recipe
    from towermill.runtime.device import Runtime


def train(
    recipe: Recipe,
    inputs: Inputs,
    out: Path,
    runtime: Runtime,
    after_epoch: Callable[[int, dict[str, float]], None] | None = None,
) -> None:
    """Fit the model: its best weights, ``history.json``, TensorBoard logs."""
    from towermill.models.evaluation.protocol import Ranking
    from towermill.models.training.train import train_model

    config, earlier = recipe.train, None
    if recipe.continue_from is not None:
        earlier = inputs["earlier.process"], inputs["earlier.train"]
        changes = {
            "epochs": min(config.epochs, recipe.continue_from.epochs),
            "learning_rate": config.learning_rate * recipe.continue_from.learning_rate_factor,
        }
        config = config.model_copy(update=changes)
    told = recipe.evaluate
    train_model(
        inputs["process"],
        recipe.model,
        config,
        out,
        runtime.seed,
        ranking=Ranking(told.query, told.filter_seen, told.max_queries, told.metrics),
        after_epoch=after_epoch,
        earlier=earlier,
    )


STAGE = Stage(
    "train",
    ("process",),
    # The validation that picks the epoch ranks as the evaluation does.
    (
        "model",
        "train",
        "continue_from.epochs",
        "continue_from.learning_rate_factor",
        "evaluate.query",
        "evaluate.filter_seen",
        "evaluate.max_queries",
        "evaluate.metrics",
        "runtime.seed",
    ),
    __name__,
    train,
    parts=protocol,
    earlier=("process", "train"),
    resumes=True,
    gpu=model_on_gpu,
)
