"""The `model` and `train` sections of a recipe. Nothing here imports TensorFlow."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator


class TwoTowerConfig(BaseModel):
    """Two towers whose embeddings meet in a dot product (Yi et al., RecSys 2019).

    Parameters
    ----------
    tower
        Widths of the query tower's dense layers; the last has no activation and is the width of
        the embedding. Empty: an embedding is the plain sum of its features' embeddings, of width
        `embedding_dim` (with ids alone this is matrix factorization).
    item_tower
        Widths of the item tower, the same as `tower` if left out. The last must agree.
    embedding_dim
        Width of every embedding table; left out, inferred from each cardinality.
    activation, dropout
        Of the hidden layers.
    input_dropout
        Share of each tower's input set to zero in training.
    normalize
        L2-normalise both embeddings; goes with a `temperature` well below 1.
    temperature
        Logits are divided by this.
    l2
        Weight of the squared norms of the embeddings looked up (those of drawn negatives too),
        divided by the rows of a batch.
    loss
        ``softmax`` cross-entropy, ``bce`` on positives and sampled negatives, or ``bpr``
        (Rendle et al., UAI 2009).
    negatives
        ``in_batch``, ``uniform`` or ``popularity`` over the catalogue, or ``mixed`` (in-batch and
        uniform; Yang et al., WWW 2020). Negatives are shared by the rows of a batch.
    num_negatives
        Drawn a batch, for all but ``in_batch``.
    logq
        Subtract the log of each candidate's sampling probability (softmax only; Yi et al. 2019).
    popularity_power
        Popularity is the training count to this power.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    kind: Literal["two_tower"] = "two_tower"
    tower: tuple[PositiveInt, ...] = (128, 64)
    item_tower: tuple[PositiveInt, ...] | None = None
    embedding_dim: PositiveInt | None = None
    activation: Literal["relu", "gelu", "elu", "selu", "tanh", "linear"] = "relu"
    dropout: float = Field(0.0, ge=0, lt=1)
    input_dropout: float = Field(0.0, ge=0, lt=1)
    normalize: bool = False
    temperature: PositiveFloat = 1.0
    l2: float = Field(0.0, ge=0)
    loss: Literal["softmax", "bce", "bpr"] = "softmax"
    negatives: Literal["in_batch", "uniform", "popularity", "mixed"] = "in_batch"
    num_negatives: PositiveInt = 1024
    logq: bool = True
    popularity_power: float = Field(1.0, ge=0)

    @model_validator(mode="after")
    def _widths_agree(self) -> TwoTowerConfig:
        if not self.tower and self.embedding_dim is None:
            raise ValueError("`tower: []` needs `embedding_dim`, the width of the embedding")
        item = self.tower if self.item_tower is None else self.item_tower
        if bool(item) != bool(self.tower) or (item and item[-1] != self.tower[-1]):
            raise ValueError(
                f"`tower` and `item_tower` should end in the same width. Received: "
                f"{list(self.tower)} and {list(item)}"
            )
        return self


#: All `model.kind`s.
ModelConfig = TwoTowerConfig


class ScheduleConfig(BaseModel):
    """How the learning rate changes: up over `warmup_steps`, then by `kind` to `floor` × its top.

    ``exponential`` ends at a thousandth of it if `floor` is less.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    kind: Literal["constant", "cosine", "linear", "exponential"] = "constant"
    warmup_steps: int = Field(0, ge=0)
    floor: float = Field(0.0, ge=0, le=1)


class TrainConfig(BaseModel):
    """How a model is fitted.

    Parameters
    ----------
    epochs, batch_size
        At most so many passes; rows a step. A `batch_size` of 0 goes by the data: a power of two
        that makes about 64 steps an epoch, from 64 to 4096.
    optimizer, learning_rate, schedule
        By Keras' name.
    weight_decay
        Decoupled, for ``adamw``.
    monitor
        The full-catalogue metric on the validation split that stops and picks the epoch.
    patience
        Stop after so many epochs without a better `monitor`; 0 never stops early.
    evaluate_every
        Validate each so many epochs.
    checkpoint_steps
        Also save every so many steps within an epoch; 0 saves at the ends of epochs only.
    mixed_precision
        Compute in this type, keep weights in float32.
    xla
        Compile the training step with XLA (no list columns: their ragged lookups do not compile).
    tensorboard
        Write scalars for TensorBoard.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    epochs: PositiveInt = 30
    batch_size: int = Field(0, ge=0)
    optimizer: Literal["adam", "adamw", "adagrad", "sgd", "rmsprop", "lazy_adam"] = "adam"
    learning_rate: PositiveFloat = 0.002
    weight_decay: float = Field(0.0, ge=0)
    schedule: ScheduleConfig = ScheduleConfig()
    monitor: str = Field("ndcg@10", pattern=r"^(recall|precision|hit_rate|ndcg|mrr|map)@[1-9]\d*$")
    patience: int = Field(3, ge=0)
    evaluate_every: PositiveInt = 1
    checkpoint_steps: int = Field(0, ge=0)
    mixed_precision: Literal["none", "bfloat16", "float16"] = "none"
    xla: bool = False
    tensorboard: bool = True

    @model_validator(mode="after")
    def _weight_decay_is_used(self) -> TrainConfig:
        if self.weight_decay and self.optimizer != "adamw":
            raise ValueError(
                "`weight_decay` is for `optimizer: adamw`; the others would leave it out. "
                f"Received: {self.weight_decay} with {self.optimizer}"
            )
        return self
