"""The `model` and `train` sections of a recipe. Nothing here imports TensorFlow."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from towermill.errors import RecipeError
from towermill.models.configs.base import Events, ModelSection
from towermill.models.configs.funk_svd import FunkSVDConfig


class TwoTowerConfig(ModelSection):
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
    own_negatives
        Draw them for each row instead (``uniform`` or ``popularity``), few then; none counts that
        the user met in training.
    logq
        Subtract the log of each candidate's sampling probability (softmax only; Yi et al. 2019).
    popularity_power
        Popularity is the training count to this power.
    """

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
    own_negatives: bool = False
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
        if self.own_negatives and self.negatives not in ("uniform", "popularity"):
            raise ValueError(
                "`own_negatives` are drawn from the catalogue: `negatives` should be uniform or "
                f"popularity. Received: {self.negatives}"
            )
        return self


class NRMSConfig(ModelSection):
    """News by their words, readers by what they read (Wu et al., EMNLP 2019).

    The size of titles and of histories is decided in processing (`text.title_size`,
    `features.history_size`), the words' vectors too.

    Parameters
    ----------
    heads, head_dim
        Of both self-attentions; their product is the width of the embedding.
    attention_dim
        Length of the query of both additive attentions.
    dense
        Widths of dense layers, each with batch normalisation, after the news encoder's
        self-attention; the last has to be `heads` × `head_dim`.
    dropout
        Of the news encoder: after word embeddings, self-attention and dense layers.
    user_dropout
        Of the user encoder: after its self-attention. Widely copied implementations have none.
    history_dropout
        Share of the articles read that training leaves out of a history, others each time: where
        readers are few and have many impressions, their histories are known by heart otherwise.
    loss
        ``softmax`` over the click and its negatives, or ``bce`` on each of them.
    npratio
        Negatives a click, drawn afresh each epoch from what was shown with it and not clicked.
    replacement
        Draw with replacement. Without, a click with fewer such articles has fewer negatives.
    reader_ids
        Add a learned vector of the reader to that of the history, the long-term interest of LSTUR
        (An et al., ACL 2019): for readers who come back often. A stranger's is 0.
    reader_dropout
        Share of rows of which training leaves that vector out, so that histories go on to count.
    frozen_words
        Keep the words' vectors as they are given (`text.words`): what is learned of a word then
        holds for those like it, which no title in training had.
    features
        Categories of the articles whose embeddings are added to their vectors.
    age
        Add a learned vector for the age of a shown article, by intervals from half an hour to a
        week.
    masks
        Leave padding out of attention and pooling. Without, padding is read as a word, and as an
        article, as in widely copied implementations: for parity with figures published with them.
    """

    learns_from: ClassVar[tuple[Events, ...]] = ("impressions",)

    kind: Literal["nrms"] = "nrms"
    heads: PositiveInt = 20
    head_dim: PositiveInt = 20
    attention_dim: PositiveInt = 200
    dense: tuple[PositiveInt, ...] = ()
    dropout: float = Field(0.2, ge=0, lt=1)
    user_dropout: float = Field(0.2, ge=0, lt=1)
    history_dropout: float = Field(0.0, ge=0, lt=1)
    loss: Literal["softmax", "bce"] = "softmax"
    npratio: PositiveInt = 4
    replacement: bool = True
    reader_ids: bool = False
    reader_dropout: float = Field(0.5, ge=0, lt=1)
    frozen_words: bool = False
    features: tuple[str, ...] = ()
    age: bool = False
    masks: bool = True

    @property
    def dim(self) -> int:
        """Width of the embedding."""
        return self.heads * self.head_dim

    @model_validator(mode="after")
    def _widths_agree(self) -> NRMSConfig:
        if self.dense and self.dense[-1] != self.dim:
            raise ValueError(
                f"`dense` should end in `heads` × `head_dim`, {self.dim}. Received: "
                f"{list(self.dense)}"
            )
        return self


class ContentConfig(ModelSection):
    """Nothing learned: items by their given vectors, a user by the mean of what was read.

    Of interactions, of what was met in training.
    """

    learns_from: ClassVar[tuple[Events, ...]] = ("impressions", "interactions")

    kind: Literal["content"] = "content"


class NewsMFConfig(ModelSection):
    """Matrix factorization of who clicked what of what was shown (Koren et al., 2009).

    Learns whether each article shown was clicked, by binary cross-entropy.

    Parameters
    ----------
    dim
        Factors of a reader and of an article. Each has a bias, too.
    features
        Numbers of the articles, such as how likely each sentiment is: they stand beside an
        article's factors, and their mean over what was read beside the reader's.
    l2
        Weight of the squared norms of the factors and biases of a row.
    """

    learns_from: ClassVar[tuple[Events, ...]] = ("impressions",)

    kind: Literal["news_mf"] = "news_mf"
    dim: PositiveInt = 10
    features: tuple[str, ...] = ()
    l2: float = Field(0.0, ge=0)


class NCFConfig(ModelSection):
    """Neural collaborative filtering, its MLP part (He et al., WWW 2017): scores pairs.

    Learns by binary cross-entropy: of impressions whether each item shown was clicked, of
    interactions which items are met and which were drawn at random.

    Parameters
    ----------
    embedding_dim
        Of users, and of items.
    mlp
        Widths of the dense layers over both embeddings joined; a last one of width 1 follows.
    dropout
        After each dense layer.
    num_negatives
        Of interactions: items drawn uniformly a row, afresh each time; none that the user met in
        training counts.
    l2
        Weight of the squared norms of the two embeddings of a row.
    """

    learns_from: ClassVar[tuple[Events, ...]] = ("impressions", "interactions")

    kind: Literal["ncf"] = "ncf"
    embedding_dim: PositiveInt = 64
    mlp: tuple[PositiveInt, ...] = Field((128, 64), min_length=1)
    dropout: float = Field(0.0, ge=0, lt=1)
    num_negatives: PositiveInt = 4
    l2: float = Field(0.0, ge=0)


#: All `model.kind`s.
ModelConfig = Annotated[
    TwoTowerConfig | FunkSVDConfig | NRMSConfig | ContentConfig | NewsMFConfig | NCFConfig,
    Field(discriminator="kind"),
]


class ScheduleConfig(BaseModel):
    """How the learning rate changes: up over `warmup_steps`, then by `kind` to `floor` × its top.

    ``exponential`` ends at a thousandth of it if `floor` is less. ``plateau`` multiplies it by
    `factor` each time that `patience` validations in a row were no better than the best.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    kind: Literal["constant", "cosine", "linear", "exponential", "plateau"] = "constant"
    warmup_steps: int = Field(0, ge=0)
    floor: float = Field(0.0, ge=0, le=1)
    factor: float = Field(0.2, gt=0, lt=1)
    patience: PositiveInt = 2


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
    ema
        Validate and keep an exponential moving average of the weights, of this momentum a step
        (Polyak & Juditsky, 1992); 0 keeps the weights as they are. Not with ``lazy_adam``.
    monitor
        The metric on the validation split that stops and picks the epoch. Left out: ``ndcg@10``
        over the whole catalogue, or ``auc`` within impressions where a model ranks these.
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
    ema: float = Field(0.0, ge=0, lt=1)
    schedule: ScheduleConfig = ScheduleConfig()
    monitor: str | None = Field(
        None, pattern=r"^(auc|mrr|(recall|precision|hit_rate|ndcg|mrr|map)@[1-9]\d*)$"
    )
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


def monitor_of(train: TrainConfig, events: Events) -> str:
    """Return the metric on the validation split by which a model of these events is chosen."""
    return train.monitor or ("auc" if events == "impressions" else "ndcg@10")


def check_monitor(monitor: str, events: Events) -> None:
    """Raise `RecipeError` if a model of these events is not validated by the metric `monitor`."""
    name, _, k = monitor.partition("@")
    within = name == "auc" or (name == "mrr" and not k) or (name in ("ndcg", "hit_rate") and k)
    if not (within if events == "impressions" else k):
        known = "auc, mrr, ndcg@k or hit_rate@k" if events == "impressions" else "ndcg@10"
        raise RecipeError(
            f"`train.monitor` should be a metric of what {events} are validated by, such as "
            f"{known}. Received: {monitor!r}."
        )
