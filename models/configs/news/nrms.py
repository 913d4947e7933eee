"""The `model` section of NRMS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, PositiveInt, model_validator

from towermill.columns import Events
from towermill.models.configs.base import ModelConfig
from towermill.models.encoders import NEWS_ENCODERS, USER_ENCODERS
from towermill.models.objectives.slate_losses import SLATE_LOSSES
from towermill.section import PartName

if TYPE_CHECKING:
    from towermill.models.contracts.retriever import Retriever
    from towermill.models.training.fit import Batches


class NRMSConfig(ModelConfig):
    """News by their words, readers by what they read (Wu et al., EMNLP 2019).

    With other encoders it is NAML, LSTUR or Fastformer.

    `process` sets title size (`text.title_size`), history size (`features.history_size`) and word
    vectors.

    Parameters
    ----------
    heads, head_dim
        Heads of both self-attentions and their width; the product is the width of the embedding.
    attention_dim
        Length of the query of both additive attentions.
    dense
        Widths of dense layers, each with batch normalisation, after the news encoder's
        self-attention; the last has to be `heads` × `head_dim`.
    dropout
        Dropout of the news encoder: after word embeddings, self-attention and dense layers.
    user_dropout
        Dropout of the user encoder: after its self-attention. Widely copied implementations have
        none.
    history_dropout
        Share of the articles read that training leaves out of a history, others each time: where
        readers are few and have many impressions, their histories are known by heart otherwise.
    loss
        ``softmax`` over the click and its negatives, or ``bce`` on each of them.
    news_encoder
        Encoder of an article: ``self_attention`` (NRMS), ``cnn`` (LSTUR), ``views`` (NAML),
        ``fastformer``, ``vectors``, ``tokens_and_vectors``.
    user_encoder
        Encoder of a history: ``self_attention`` (NRMS), ``additive_attention`` (NAML), ``gru``
        (LSTUR), ``fastformer``.
    npratio
        Negatives per click, drawn each epoch from the items shown with it and not clicked.
    replacement
        Draw with replacement. Without, a click with fewer such articles has fewer negatives.
    reader_ids
        Add a learned vector of the reader to that of the history, the long-term interest of LSTUR
        (An et al., ACL 2019): for readers who come back often. That of unknown readers is 0.
    reader_dropout
        Share of rows of which training leaves that vector out, so that histories go on to count.
    frozen_words
        Keep the words' vectors as they are given (`text.words`): what is learned about a word then
        transfers to similar words that no training title has.
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

    kind: str = "nrms"
    heads: PositiveInt = 20
    head_dim: PositiveInt = 20
    attention_dim: PositiveInt = 200
    dense: tuple[PositiveInt, ...] = ()
    dropout: float = Field(0.2, ge=0, lt=1)
    user_dropout: float = Field(0.2, ge=0, lt=1)
    history_dropout: float = Field(0.0, ge=0, lt=1)
    loss: Annotated[str, PartName(SLATE_LOSSES)] = "softmax"
    news_encoder: Annotated[str, PartName(NEWS_ENCODERS)] = "self_attention"
    user_encoder: Annotated[str, PartName(USER_ENCODERS)] = "self_attention"
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

    def create(self, data: Any, *, batch_size: int, seed: int) -> Retriever:
        from towermill.models.architectures.news.nrms import build_nrms

        return build_nrms(data, self, seed=seed)

    def batches(self, data: Any, *, batch_size: int, seed: int) -> Batches:
        from towermill.models.data.batches.slate import SlateBatches

        return SlateBatches(
            data,
            batch_size=batch_size,
            npratio=self.npratio,
            replacement=self.replacement,
            ages=self.age,
            seed=seed,
        )
