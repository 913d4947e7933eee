"""The `model` section of matrix factorization of impressions."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, PositiveInt

from towermill.models.configs.base import Events, ModelSection


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
