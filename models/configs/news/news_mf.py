"""The `model` section of matrix factorization of impressions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, PositiveInt

from towermill.columns import Events
from towermill.models.configs.base import ModelConfig

if TYPE_CHECKING:
    from towermill.models.contracts.retriever import Retriever
    from towermill.models.training.fit import Batches


class NewsMFConfig(ModelConfig):
    """Matrix factorization of clicks on shown articles (Koren et al., 2009).

    Learns whether each article shown was clicked, by binary cross-entropy.

    Parameters
    ----------
    dim
        Factors of a reader and of an article. Each has a bias, too.
    features
        Numbers of the articles, such as how likely each sentiment is: they are appended to an
        article's factors, and their mean over the articles read to the reader's.
    l2
        Weight of the squared norms of the factors and biases of a row.
    """

    learns_from: ClassVar[tuple[Events, ...]] = ("impressions",)

    kind: str = "news_mf"
    dim: PositiveInt = 10
    features: tuple[str, ...] = ()
    l2: float = Field(0.0, ge=0)

    def create(self, data: Any, *, batch_size: int, seed: int) -> Retriever:
        from towermill.models.architectures.news.news_mf import build_news_mf

        return build_news_mf(data, self, seed=seed)

    def batches(self, data: Any, *, batch_size: int, seed: int) -> Batches:
        from towermill.models.data.batches.entry import EntryBatches

        return EntryBatches(data, batch_size=batch_size, seed=seed)
