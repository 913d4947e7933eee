"""The `model` section of NCF."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, PositiveInt

from towermill.models.configs.base import Events, ModelSection


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
