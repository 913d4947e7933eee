"""From a processed data set to a trained model on disk, and back."""

from __future__ import annotations

import json
import logging
import math
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import tensorflow as tf

from towermill.models.build import build_model
from towermill.models.config import ModelConfig, TrainConfig
from towermill.models.data import Processed, Queries
from towermill.models.evaluation import evaluate_retriever
from towermill.models.retriever import Retriever, Spread
from towermill.models.training import fit
from towermill.models.untrained import fill_untrained_rows
from towermill.runtime import seed_everything

logger = logging.getLogger(__name__)


def train_model(
    processed: Path,
    model: ModelConfig,
    train: TrainConfig,
    out: Path,
    seed: int,
    *,
    query: Literal["user", "interaction"] = "user",
    filter_seen: bool = True,
    max_queries: int = 0,
) -> None:
    """Fit a model and write it to `out`; a call that was cut off goes on where it was.

    `query`, `filter_seen` and `max_queries` are those of the later evaluation: see
    `Processed.queries`.

    ``weights/``
        Of the best epoch by `train.monitor`, or of the last without a validation split; the rows
        of null and unknown ids as `fill_untrained_rows` leaves them.
    ``history.json``
        Each epoch's loss, seconds, rows a second, learning rate and validation metrics.
    ``tensorboard/``
        The same for TensorBoard.

    Raises
    ------
    SchemaError, DataError, RecipeError
        See `build_model` and `fit`.
    """
    data = Processed(processed)
    if not train.batch_size:
        train = train.model_copy(update={"batch_size": batch_size_for(data.rows("train"))})
    try:
        retriever = _under_policy(data, model, train, seed)
        queries = None
        if data.has("valid"):
            queries = data.queries("valid", query, filter_seen, limit=max_queries)
        if queries is not None and not len(queries):
            logger.warning(
                "The validation split has no answer to rank: its %d rows hold unknown items or "
                "repeat what was seen. Training runs for all %d epochs and keeps the last.",
                queries.cold + queries.repeated,
                train.epochs,
            )
            queries = None
        k = int(train.monitor.partition("@")[2])
        validate = None if queries is None else _validation(data, queries, k)
        state = fit(retriever, data, train, out, seed=seed, validate=validate)
        fill_untrained_rows(retriever, data)
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")
    weights = out / "weights"
    shutil.rmtree(weights, ignore_errors=True)
    weights.mkdir()
    retriever.save(weights)
    (out / "history.json").write_text(json.dumps(asdict(state), indent=2))
    for leftover in (out / "checkpoints", out / "best"):
        if leftover.exists():  # a kill half-way through must not leave half a checkpoint
            gone = leftover.with_suffix(".partial")
            shutil.rmtree(gone, ignore_errors=True)
            leftover.rename(gone)
            shutil.rmtree(gone)


def batch_size_for(rows: int) -> int:
    """Return a power of two that makes about 64 steps of `rows`, from 64 to 4096."""
    return min(max(2 ** round(math.log2(max(rows, 1) / 64)) if rows > 64 else 64, 64), 4096)


def load_model(
    processed: Path, trained: Path, model: ModelConfig, spread: Spread | None = None
) -> tuple[Processed, Retriever]:
    """Return the data set and the model that `train_model` wrote, whose tables `spread` encodes.

    Raises
    ------
    DataError
        The weights are missing or of another model.
    """
    data = Processed(processed)
    retriever = build_model(data, model)
    retriever.restore(trained / "weights")
    retriever.spread = spread
    return data, retriever


def _under_policy(data: Processed, model: ModelConfig, train: TrainConfig, seed: int) -> Retriever:
    precision = "float32" if train.mixed_precision == "none" else f"mixed_{train.mixed_precision}"
    tf.keras.mixed_precision.set_global_policy(precision)
    # Dropout draws from generators that are variables, so that a checkpoint holds their state.
    tf.keras.backend.experimental.enable_tf_random_generator()
    seed_everything(seed)
    return build_model(data, model, batch_size=train.batch_size, seed=seed)


def _validation(
    data: Processed, queries: Queries, k: int
) -> Callable[[Retriever], dict[str, float]]:
    """Return the full-catalogue metrics on `queries` as a function of the model."""

    def validate(retriever: Retriever) -> dict[str, float]:
        return evaluate_retriever(retriever, data, queries, (k,))

    return validate
