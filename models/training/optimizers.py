"""Optimizers by name, and the learning rate's way through training."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

import merlin.models.tf as mm
import tensorflow as tf

from towermill.models.configs.train import ScheduleConfig, TrainConfig


class WarmUpThenDecay(tf.keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """Linear warm-up, then constant, or a decay that reaches `floor` at the last step.

    Parameters
    ----------
    peak
        The learning rate after the warm-up.
    steps
        Number of steps of the whole training.
    config
        Its shape.
    """

    def __init__(self, peak: float, steps: int, config: ScheduleConfig) -> None:
        super().__init__()
        self.peak, self.steps, self.config = peak, steps, config
        #: Factor by which plateaus have reduced the rate.
        self.scale = tf.Variable(1.0, trainable=False)

    def __call__(self, step: Any) -> tf.Tensor:
        step = tf.cast(step, tf.float32)
        warm_up = float(self.config.warmup_steps)
        done = tf.clip_by_value((step - warm_up) / max(self.steps - warm_up, 1.0), 0.0, 1.0)
        factor = self._decay(done)
        if warm_up:
            factor = tf.where(step < warm_up, (step + 1.0) / warm_up, factor)
        return self.peak * self.scale * factor

    def _decay(self, done: tf.Tensor) -> tf.Tensor:
        floor = self.config.floor
        if self.config.kind == "cosine":
            return floor + (1.0 - floor) * 0.5 * (1.0 + tf.cos(math.pi * done))
        if self.config.kind == "linear":
            return floor + (1.0 - floor) * (1.0 - done)
        if self.config.kind == "exponential":
            return tf.pow(max(floor, 1e-3), done)
        return tf.ones_like(done)

    def get_config(self) -> dict[str, Any]:
        return {"peak": self.peak, "steps": self.steps, "config": self.config.model_dump()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> WarmUpThenDecay:
        return cls(config["peak"], config["steps"], ScheduleConfig(**config["config"]))


def optimizer(config: TrainConfig, rate: Any) -> Any:
    """Return the optimizer that a recipe's `train` section names, at this rate or schedule."""
    if config.optimizer == "lazy_adam":
        # Touches only the embedding rows of a batch; Keras' Adam decays the moments of all rows.
        return mm.LazyAdam(learning_rate=rate)
    classes = {
        "adam": tf.keras.optimizers.Adam,
        "adamw": tf.keras.optimizers.AdamW,
        "adagrad": tf.keras.optimizers.Adagrad,
        "sgd": tf.keras.optimizers.SGD,
        "rmsprop": tf.keras.optimizers.RMSprop,
    }
    options: dict[str, Any] = {"learning_rate": rate, "jit_compile": config.xla}
    if config.optimizer == "adamw":
        options["weight_decay"] = config.weight_decay
    if config.ema:
        # Never in the place of the weights meanwhile, as RMSprop would have it by default.
        options |= {
            "use_ema": True,
            "ema_momentum": config.ema,
            "ema_overwrite_frequency": None,
        }
    return classes[config.optimizer](**options)


def take_averages(optimise: Any, variables: Sequence[Any]) -> None:
    """Put the moving averages that an optimizer keeps, if any, in the place of the weights."""
    if _averages(optimise):
        getattr(optimise, "inner_optimizer", optimise).finalize_variable_values(variables)


def _averages(optimise: Any) -> bool:
    """Return whether an optimizer keeps moving averages of the weights."""
    return bool(getattr(getattr(optimise, "inner_optimizer", optimise), "use_ema", False))


@contextlib.contextmanager
def averaged(optimise: Any, variables: Sequence[Any]) -> Iterator[None]:
    """Use the averages within the block, and restore the weights after it."""
    if not _averages(optimise):
        yield
        return
    raw = [tf.identity(variable) for variable in variables]
    take_averages(optimise, variables)
    try:
        yield
    finally:
        for variable, value in zip(variables, raw, strict=True):
            variable.assign(value)


def create_slots(optimise: Any, variables: Sequence[Any]) -> None:
    """Create the optimizer's variables as its first step would, for a checkpoint to restore."""
    if hasattr(optimise, "build"):
        optimise.build(variables)
    else:  # of Keras' legacy kind, as Merlin's LazyAdam
        optimise._create_all_weights(variables)
