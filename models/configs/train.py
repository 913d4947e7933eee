"""The `train` section of a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from towermill.columns import Events
from towermill.errors import RecipeError, did_you_mean
from towermill.models.metrics import METRICS, metrics_of
from towermill.section import Section

#: Metrics of a model's target by which training can be stopped.
TARGET_MONITORS: Final = ("auc", "gauc")


class ScheduleConfig(Section):
    """The learning-rate schedule: up over `warmup_steps`, then by `kind` to `floor` × its top.

    ``exponential`` ends at a thousandth of it if `floor` is less. ``plateau`` multiplies it by
    `factor` each time that `patience` validations in a row were no better than the best.
    """

    kind: Literal["constant", "cosine", "linear", "exponential", "plateau"] = "constant"
    warmup_steps: int = Field(0, ge=0)
    floor: float = Field(0.0, ge=0, le=1)
    factor: float = Field(0.2, gt=0, lt=1)
    patience: PositiveInt = 2


class TrainConfig(Section):
    """The settings of training.

    Parameters
    ----------
    epochs, batch_size
        The maximum number of epochs; rows per step. 0 (the default) chooses the batch size from
        the number of rows: a power of two from 64 to 4096 that makes about 64 steps an epoch.
    optimizer, learning_rate, schedule
        By Keras' name.
    weight_decay
        Decoupled, for ``adamw``.
    ema
        Validate and keep an exponential moving average of the weights, of this momentum a step
        (Polyak & Juditsky, 1992); 0 keeps the weights as they are. Not with ``lazy_adam``.
    monitor
        The metric on the validation split that stops and picks the epoch. Left out: ``ndcg@10``
        over the whole catalogue, ``auc`` within impressions where a model ranks these, or ``auc``
        of the target where a model predicts one (or its ``gauc``). Also a metric that
        `evaluate.metrics` names.
    patience
        Stop after this many epochs without a better `monitor`; 0 never stops early.
    evaluate_every
        Validate every N epochs.
    checkpoint_steps
        Also save every N steps within an epoch; 0 saves at the ends of epochs only.
    mixed_precision
        Compute in this type, keep weights in float32.
    xla
        Compile the training step with XLA (no list columns: their ragged lookups do not compile).
    tensorboard
        Write scalars for TensorBoard.
    """

    epochs: PositiveInt = 30
    batch_size: int = Field(0, ge=0)
    optimizer: Literal["adam", "adamw", "adagrad", "sgd", "rmsprop", "lazy_adam"] = "adam"
    learning_rate: PositiveFloat = 0.002
    weight_decay: float = Field(0.0, ge=0)
    ema: float = Field(0.0, ge=0, lt=1)
    schedule: ScheduleConfig = ScheduleConfig()
    monitor: str | None = None
    patience: int = Field(3, ge=0)
    evaluate_every: PositiveInt = 1
    checkpoint_steps: int = Field(0, ge=0)
    mixed_precision: Literal["none", "bfloat16", "float16"] = "none"
    xla: bool = False
    tensorboard: bool = True

    @model_validator(mode="after")
    def _ema_is_kept(self) -> TrainConfig:
        if self.ema and self.optimizer == "lazy_adam":
            raise ValueError(
                "`ema` should be 0 with `optimizer: lazy_adam`, which touches only the rows of a "
                f"batch and averages none. Take `adam` or `adamw`. Received: {self.ema}"
            )
        return self

    @model_validator(mode="after")
    def _weight_decay_is_used(self) -> TrainConfig:
        if self.weight_decay and self.optimizer != "adamw":
            raise ValueError(
                "`weight_decay` is for `optimizer: adamw`; the others would leave it out. "
                f"Received: {self.weight_decay} with {self.optimizer}"
            )
        return self


def monitor_of(train: TrainConfig, events: Events, targets: Sequence[str] = ()) -> str:
    """Return the metric on the validation split by which a model is chosen.

    `targets` are the signals that the model predicts.
    """
    return train.monitor or ("auc" if events == "impressions" or targets else "ndcg@10")


def check_monitor(
    monitor: str, events: Events, others: Sequence[str] = (), targets: Sequence[str] = ()
) -> None:
    """Raise `RecipeError` if a model of these events is not validated by the metric `monitor`.

    `others` names metrics that are computed beside Towermill's own, `targets` the signals that the
    model predicts.
    """
    if targets and monitor in TARGET_MONITORS:
        return
    name, at, k = monitor.partition("@")
    known = [m for m in metrics_of(METRICS[events], object, others) if m.monitors]
    cut = k.isdigit() and int(k) > 0
    if not any(m.kind == name and (cut if m.at_k else not at) for m in known):
        names = ", ".join(f"{m.kind}@k" if m.at_k else m.kind for m in known)
        kinds = [m.kind for m in known]
        raise RecipeError(
            f"`train.monitor` should be a metric of what {events} are validated by: {names}. "
            f"Received: {monitor!r}.{did_you_mean(name, kinds) if name not in kinds else ''}"
        )
