"""Fitting a model: resumable, stopped and picked by a metric of the validation split."""

from __future__ import annotations

import logging
import math
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import tensorflow as tf
from rich.progress import TextColumn

from towermill.errors import DataError
from towermill.models.configs.train import TrainConfig
from towermill.models.contracts.weights import Trainable
from towermill.models.training.checkpoints import Checkpoints, TrainState
from towermill.models.training.optimizers import (
    WarmUpThenDecay,
    averaged,
    create_slots,
    optimizer,
    take_averages,
)
from towermill.progress import progress

logger = logging.getLogger(__name__)

#: Steps between two looks at the loss (each waits for the device).
LOSS_EVERY = 20
#: Called with each validated epoch, from 1, and its metrics; an exception ends the training.
AfterEpoch = Callable[[int, dict[str, float]], None]


class Batches(Protocol):
    """Training batches: the same in an epoch however often it is restarted."""

    @property
    def rows(self) -> int:
        """Rows an epoch."""

    @property
    def batch_size(self) -> int:
        """Rows a batch; the last one holds the rest."""

    def __len__(self) -> int: ...

    def first(self) -> dict[str, tf.Tensor]:
        """Return a few rows, as an example."""

    def epoch(self, number: int) -> Iterator[dict[str, tf.Tensor]]:
        """Yield the batches of an epoch, counted from 0."""


def fit(
    model: Trainable,
    batches: Batches,
    config: TrainConfig,
    folder: Path,
    *,
    monitor: str = "",
    validate: Callable[[Trainable], dict[str, float]] | None = None,
    after_epoch: AfterEpoch | None = None,
) -> TrainState:
    """Train until the epochs are done or `monitor` no longer rises, and restore the best weights.

    Called again on the same `folder` after a kill, it resumes from the last checkpoint and ends
    with the weights that it would have had without the kill.

    Parameters
    ----------
    model
        Built, on the seed and precision of this training.
    batches
        The training rows.
    config
        The recipe's `train` section.
    folder
        Holds ``checkpoints/``, ``best/`` and ``tensorboard/``.
    monitor
        The metric that picks the epoch.
    validate
        Returns metrics, `monitor` among them; None trains for all epochs and keeps the last.
    after_epoch
        Called once the checkpoint of a validated epoch is saved.

    Returns
    -------
    TrainState
        With one history record an epoch: loss, seconds, rows_per_second, learning_rate (of the
        last step), metrics.

    Raises
    ------
    DataError
        The loss is no longer a number.
    """
    rows, steps = batches.rows, len(batches)
    rate = WarmUpThenDecay(config.learning_rate, steps * config.epochs, config.schedule)
    optimise = optimizer(config, rate)
    if config.mixed_precision == "float16":
        optimise = tf.keras.mixed_precision.LossScaleOptimizer(optimise)
    batch = batches.first()
    model.model(batch)
    create_slots(optimise, model.model.trainable_variables)
    step = _step(model, optimise, config, batch)
    checkpoints = Checkpoints(
        folder / "checkpoints",
        model=model.model,
        optimizer=optimise,
        generators=_generators(model.model),
    )
    state = checkpoints.restore() or TrainState()
    if state.epoch or state.step:
        logger.info("resuming after epoch %d, step %d", state.epoch, state.step)
    if config.tensorboard:
        writer = tf.summary.create_file_writer(str(folder / "tensorboard"))
    else:
        writer = tf.summary.create_noop_writer()

    with writer.as_default():
        while state.epoch < config.epochs and not _stopped(state, config):
            started, first = time.monotonic(), state.step
            rate.scale.assign(config.schedule.factor**state.reductions)
            _run_epoch(batches, config, step, state, checkpoints)
            seconds = time.monotonic() - started
            record: dict[str, Any] = {
                "epoch": state.epoch + 1,
                "loss": state.loss_sum / steps,
                "learning_rate": float(rate(steps * (state.epoch + 1) - 1)),
                "seconds": round(seconds, 3),
                "rows_per_second": round(min((steps - first) * batches.batch_size, rows) / seconds),
            }
            last = state.epoch + 1 == config.epochs
            if validate is not None and (last or (state.epoch + 1) % config.evaluate_every == 0):
                with averaged(optimise, model.model.trainable_variables):
                    metrics = validate(model)
                    record["metrics"] = metrics
                    _judge(model, metrics[monitor], folder, state)
                _reduce_on_plateau(config, state)
            state.history.append(record)
            state.epoch, state.step, state.loss_sum = state.epoch + 1, 0, 0.0
            _report(record, config, monitor, state)
            checkpoints.save(state)
            _drop_all_but_best(folder, state)
            if after_epoch is not None and "metrics" in record:
                after_epoch(state.epoch, record["metrics"])
    if state.epoch < config.epochs:
        logger.info("stopped: %s no better for %d epochs", monitor, state.epoch - state.best_epoch)
    if state.best is not None:
        logger.info("the weights of epoch %d are kept", state.best_epoch)
    writer.close()
    _check_weights(model.model, config)
    if state.best is None:
        take_averages(optimise, model.model.trainable_variables)
    else:
        model.restore(folder / "best" / str(state.best_epoch))
    return state


def _run_epoch(
    batches: Batches,
    config: TrainConfig,
    step: Callable[[dict[str, tf.Tensor]], tf.Tensor],
    state: TrainState,
    checkpoints: Checkpoints,
) -> None:
    """Take the epoch's remaining steps; rows come in the same order however often it is begun."""
    total = tf.constant(state.loss_sum, tf.float64)
    with progress(TextColumn("{task.fields[loss]}")) as bars:
        bar = bars.add_task(
            f"epoch {state.epoch + 1}/{config.epochs}",
            total=len(batches),
            completed=state.step,
            loss="",
        )
        for index, batch in enumerate(batches.epoch(state.epoch)):
            if index < state.step:
                continue
            total += tf.cast(step(batch), tf.float64)
            state.step = index + 1
            due = config.checkpoint_steps and state.step % config.checkpoint_steps == 0
            if due or state.step % LOSS_EVERY == 0:
                state.loss_sum = _finite(float(total), config)
                loss = f"loss {state.loss_sum / state.step:.4f}"
                bars.update(bar, completed=state.step, loss=loss)
            if due:
                checkpoints.save(state)
    state.loss_sum = _finite(float(total), config)


def _generators(model: Any) -> list[tf.random.Generator]:
    """Return dropout's generators, which Keras leaves out of a model's checkpoint."""
    random = [getattr(layer, "_random_generator", None) for layer in model.submodules]
    return [r._generator for r in random if r is not None and r._generator is not None]


def _step(
    model: Trainable, optimise: Any, config: TrainConfig, batch: dict[str, tf.Tensor]
) -> Callable[[dict[str, tf.Tensor]], tf.Tensor]:
    """Return one training step: a batch to its loss."""
    # XLA compiles for a length; without it one trace of open length serves every batch.
    specs = {name: tf.TensorSpec([None, *v.shape[1:]], v.dtype) for name, v in batch.items()}
    signature = None if config.xla else [specs]

    @tf.function(jit_compile=config.xla, input_signature=signature)  # type: ignore[untyped-decorator]
    def step(batch: dict[str, tf.Tensor]) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = model.loss(batch)
        optimise.minimize(loss, model.model.trainable_variables, tape=tape)
        return loss

    compiled: Callable[[dict[str, tf.Tensor]], tf.Tensor] = step
    return compiled


def _judge(model: Trainable, value: float, folder: Path, state: TrainState) -> None:
    """Note whether the epoch just trained is the best so far, and keep its weights if so."""
    if state.best is not None and value <= state.best:
        return
    state.best, state.best_epoch = value, state.epoch + 1
    best = folder / "best" / str(state.best_epoch)
    shutil.rmtree(best, ignore_errors=True)
    best.mkdir(parents=True)
    model.save(best)


def _reduce_on_plateau(config: TrainConfig, state: TrainState) -> None:
    """Lower the learning rate once more for each `patience` epochs without a better one."""
    schedule = config.schedule
    waited = math.ceil((state.epoch + 1 - state.best_epoch) / config.evaluate_every)
    if schedule.kind == "plateau" and waited and waited % schedule.patience == 0:
        state.reductions += 1
        logger.info("learning rate × %g: %d validations no better", schedule.factor, waited)


def _drop_all_but_best(folder: Path, state: TrainState) -> None:
    """Drop superseded weights, once no checkpoint refers to them."""
    for weights in (folder / "best").glob("*"):
        if weights.name != str(state.best_epoch):
            shutil.rmtree(weights)


def _stopped(state: TrainState, config: TrainConfig) -> bool:
    if not config.patience or state.best is None:
        return False
    return state.epoch - state.best_epoch >= config.patience


def _check_weights(model: Any, config: TrainConfig) -> None:
    """Refuse weights that the last steps, after the last look at the loss, made infinite."""
    if not all(bool(tf.reduce_all(tf.math.is_finite(w))) for w in model.trainable_variables):
        _finite(math.nan, config)


def _finite(loss: float, config: TrainConfig) -> float:
    if not math.isfinite(loss):
        raise DataError(
            f"The training loss is {loss}: expected a finite number. Lower "
            f"`train.learning_rate` (now {config.learning_rate}), or look for infinities in the "
            "numeric features."
        )
    return loss


def _report(record: dict[str, Any], config: TrainConfig, monitor: str, state: TrainState) -> None:
    number = record["epoch"]
    for name in ("loss", "learning_rate", "rows_per_second"):
        tf.summary.scalar(name, record[name], step=number)
    metrics = record.get("metrics", {})
    for name, value in metrics.items():
        tf.summary.scalar(f"validation/{name}", value, step=number)
    judged = f", {monitor} {metrics[monitor]:.4f}" if metrics else ""
    best = " (best so far)" if metrics and state.best_epoch == number else ""
    left = config.epochs - number
    pace = statistics.median(one["seconds"] for one in state.history)
    logger.info(
        "epoch %d/%d: loss %.4f%s%s, %.1f s%s",
        number,
        config.epochs,
        record["loss"],
        judged,
        best,
        record["seconds"],
        f", {left * pace:.0f} s left" if left else "",
    )
