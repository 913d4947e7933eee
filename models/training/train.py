"""From a processed data set to a trained model on disk, and back."""

from __future__ import annotations

import json
import logging
import math
import shutil
from dataclasses import asdict
from pathlib import Path

import tensorflow as tf

from towermill.errors import RecipeError
from towermill.models.build import build_model, load_model, open_data
from towermill.models.configs.base import ModelConfig
from towermill.models.configs.train import (
    TARGET_MONITORS,
    TrainConfig,
    check_monitor,
    monitor_of,
)
from towermill.models.data.interactions import Processed
from towermill.models.data.targets import answers_of
from towermill.models.evaluation import PROTOCOLS
from towermill.models.evaluation.protocol import Model, Ranking
from towermill.models.layers.placement import in_host
from towermill.models.training.fit import AfterEpoch
from towermill.models.training.learn import Lesson, learn
from towermill.runtime.device import seed_everything
from towermill.runtime.gpu import table_limit

logger = logging.getLogger(__name__)


def train_model(
    processed: Path,
    model: ModelConfig,
    train: TrainConfig,
    out: Path,
    seed: int,
    *,
    ranking: Ranking | None = None,
    after_epoch: AfterEpoch | None = None,
    earlier: tuple[Path, Path] | None = None,
) -> None:
    """Fit a model and write it to `out`; an interrupted call resumes.

    `earlier` has the processed data and the trained model of the run to continue: training begins
    from its weights, see `grow`, with a new optimizer state.

    `ranking` is that of the later evaluation. `after_epoch` is as for `fit`.

    ``weights/``
        Weights of the best epoch by `train.monitor`, or of the last without a validation split; the
        rows of null and unknown ids as `fill_untrained_rows` leaves them.
    ``history.json``
        Each epoch's loss, seconds, rows a second, learning rate and validation metrics.
    ``tensorboard/``
        The same for TensorBoard.

    Raises
    ------
    SchemaError, DataError, RecipeError
        See `build_model` and `fit`; or the model's kind trains and gives no batches.
    """
    data = open_data(processed)
    if not train.batch_size:
        train = train.model_copy(update={"batch_size": batch_size_for(model.training_rows(data))})
    monitor = monitor_of(train, data.events, model.target_names)
    ranking = ranking or Ranking()
    check_monitor(monitor, data.events, ranking.metrics, model.target_names)
    _check_xla(train, data)
    try:
        trained = _under_policy(data, model, train, seed)
        _check_placement(train, trained)
        protocol = PROTOCOLS.get(data.events)()
        ranked = data if monitor in TARGET_MONITORS else answers_of(data, model.target_names)
        lesson = Lesson(
            data,
            train,
            out,
            seed,
            monitor,
            validate=protocol.validation(ranked, monitor, ranking),
            after_epoch=after_epoch,
            earlier=None if earlier is None else load_model(*earlier, model),
        )
        state = learn(trained, model, lesson)
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")
    weights = out / "weights"
    shutil.rmtree(weights, ignore_errors=True)
    weights.mkdir()
    trained.save(weights)
    (out / "history.json").write_text(json.dumps(asdict(state), indent=2))
    for leftover in (out / "checkpoints", out / "best", out / "parts"):
        if leftover.exists():  # a kill half-way through must not leave half a checkpoint
            gone = leftover.with_suffix(".partial")
            shutil.rmtree(gone, ignore_errors=True)
            leftover.rename(gone)
            shutil.rmtree(gone)


def batch_size_for(rows: int) -> int:
    """Return a power of two that makes about 64 steps of `rows`, from 64 to 4096."""
    return min(max(2 ** round(math.log2(max(rows, 1) / 64)) if rows > 64 else 64, 64), 4096)


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
