"""From a processed data set to a trained model on disk, and back."""

from __future__ import annotations

import json
import logging
import math
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import tensorflow as tf

from towermill.errors import RecipeError
from towermill.models.configs.base import Events
from towermill.models.configs.content import ContentConfig
from towermill.models.configs.ncf import NCFConfig
from towermill.models.configs.news_mf import NewsMFConfig
from towermill.models.configs.nrms import NRMSConfig
from towermill.models.configs.registry import ModelConfig
from towermill.models.configs.train import TrainConfig, check_monitor, monitor_of
from towermill.models.contracts.ranker import Ranker
from towermill.models.contracts.retriever import Retriever
from towermill.models.data.entry_batches import EntryBatches
from towermill.models.data.impressions import ImpressionData
from towermill.models.data.interaction_batches import InteractionBatches
from towermill.models.data.interactions import Processed
from towermill.models.data.slate_batches import slate_batches
from towermill.models.evaluation.catalogue import evaluate_catalogue
from towermill.models.evaluation.impressions import evaluate_slates
from towermill.models.layers.placement import in_host
from towermill.models.registry import build_model, open_data
from towermill.models.training.checkpoints import TrainState
from towermill.models.training.fill_untrained import fill_untrained_rows
from towermill.models.training.fit import AfterEpoch, Batches, fit
from towermill.models.training.grow import grow
from towermill.runtime.device import seed_everything
from towermill.runtime.gpu import table_limit

logger = logging.getLogger(__name__)

Model = Retriever | Ranker
#: A model to its metrics on the validation split.
Validation = Callable[[Any], dict[str, float]]


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
    after_epoch: AfterEpoch | None = None,
    earlier: tuple[Path, Path] | None = None,
) -> None:
    """Fit a model and write it to `out`; a call that was cut off goes on where it was.

    `earlier` has the processed data and the trained model of the run to continue: training begins
    from its weights, see `grow`, with an optimizer that begins afresh.

    `query`, `filter_seen` and `max_queries` are those of the later evaluation: see
    `Processed.queries`; of impressions, the last alone counts. `after_epoch` is as for `fit`.

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
    data = open_data(processed)
    events: Events = "impressions" if isinstance(data, ImpressionData) else "interactions"
    if not train.batch_size:
        train = train.model_copy(update={"batch_size": batch_size_for(data.rows("train"))})
    monitor = monitor_of(train, events)
    check_monitor(monitor, events)
    _check_xla(train, data)
    try:
        trained = _under_policy(data, model, train, seed)
        _check_placement(train, trained)
        state = TrainState()
        batches = _batches(data, model, train, seed)
        if batches is not None:
            before = None
            if earlier is not None:
                before, known = load_model(*earlier, model)
                grow(trained, data, known, before.items.height)
            validate = (
                _impression_validation(data, monitor, max_queries)
                if isinstance(data, ImpressionData)
                else _catalogue_validation(data, monitor, query, filter_seen, max_queries)
            )
            state = fit(
                trained,
                batches,
                train,
                out,
                monitor=monitor,
                validate=validate,
                after_epoch=after_epoch,
            )
            fill_untrained_rows(trained, data, before)
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")
    weights = out / "weights"
    shutil.rmtree(weights, ignore_errors=True)
    weights.mkdir()
    trained.save(weights)
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


def load_model(processed: Path, trained: Path, model: ModelConfig) -> tuple[Processed, Model]:
    """Return the data set and the model that `train_model` wrote.

    Raises
    ------
    DataError
        The weights are missing or of another model.
    """
    data = open_data(processed)
    loaded = build_model(data, model)
    loaded.restore(trained / "weights")
    return data, loaded


def _batches(data: Processed, model: ModelConfig, train: TrainConfig, seed: int) -> Batches | None:
    """Return what a model of this kind trains on; None where there is nothing to learn."""
    if isinstance(model, ContentConfig):
        return None
    if not isinstance(data, ImpressionData):
        return InteractionBatches(data, batch_size=train.batch_size, seed=seed)
    if isinstance(model, NRMSConfig):
        return slate_batches(data, model, train.batch_size, seed)
    if isinstance(model, (NewsMFConfig, NCFConfig)):
        return EntryBatches(data, batch_size=train.batch_size, seed=seed)
    return None


def _under_policy(data: Processed, model: ModelConfig, train: TrainConfig, seed: int) -> Model:
    precision = "float32" if train.mixed_precision == "none" else f"mixed_{train.mixed_precision}"
    tf.keras.mixed_precision.set_global_policy(precision)
    # Dropout draws from generators that are variables, so that a checkpoint holds their state.
    tf.keras.backend.experimental.enable_tf_random_generator()
    seed_everything(seed)
    return build_model(data, model, batch_size=train.batch_size, seed=seed)


def _check_xla(train: TrainConfig, data: Processed) -> None:
    if train.xla and any(column.is_list for column in data.schema):
        raise RecipeError(
            "`train.xla` should be false for a schema with list columns: their ragged lookups do "
            "not compile. Set `train.xla=false`, or leave the list features out."
        )


def _check_placement(train: TrainConfig, model: Model) -> None:
    if train.xla and table_limit() and (held := in_host(model.model)):
        raise RecipeError(
            f"`train.xla` should be false, as {held[0]} stays in the host's memory, which a "
            "compiled step does not reach. Set `train.xla=false`, or raise `runtime.host_tables`."
        )


def _catalogue_validation(
    data: Processed,
    monitor: str,
    query: Literal["user", "interaction"],
    filter_seen: bool,
    max_queries: int,
) -> Validation | None:
    """Return the full-catalogue metrics on the validation split as a function of the model."""
    if not data.has("valid"):
        return None
    queries = data.queries("valid", query, filter_seen, limit=max_queries)
    if not len(queries):
        logger.warning(
            "The validation split has no answer to rank: its %d rows hold unknown items or repeat "
            "what was seen. Training runs for all epochs and keeps the last.",
            queries.cold + queries.repeated,
        )
        return None
    k = int(monitor.partition("@")[2])

    def validate(model: Model) -> dict[str, float]:
        return evaluate_catalogue(model, data, queries, (k,))

    return validate


def _impression_validation(
    data: ImpressionData, monitor: str, max_queries: int
) -> Validation | None:
    """Return the metrics within the impressions of the validation split, likewise."""
    if not data.has("valid"):
        return None
    slates = data.slates("valid").sample(max_queries)
    if not slates.rankable.any():
        logger.warning(
            "None of the %d validation impressions has a click and something else shown. Training "
            "runs for all epochs and keeps the last.",
            len(slates),
        )
        return None
    k = tuple(sorted({5, 10, int(monitor.partition("@")[2] or 10)}))

    def validate(model: Model) -> dict[str, float]:
        return evaluate_slates(model, data, slates, k)

    return validate
