"""What rankers are made of: the deep part, and the linear part over all values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import merlin.models.tf as mm
from merlin.schema import Schema, Tags

from towermill.models.encoders.towers.inputs import embedding_tables

if TYPE_CHECKING:
    from towermill.models.configs.rankers.base import RankerConfig


def dense(config: RankerConfig) -> Any:
    """Return the dense layers of `config.mlp`."""
    return mm.MLPBlock([*config.mlp], activation="relu", dropout=config.dropout or None)


def logit() -> Any:
    """Return a dense layer of width 1, without an activation."""
    return mm.MLPBlock([1], activation="linear")


def linear(schema: Schema, seed: int, l2: float = 0.0) -> Any:
    """Return a linear model of all inputs, features to ``(rows, 1)``.

    Each value of a category has a weight, a list the mean of its values' weights, each number a
    weight, as in a wide part over one-hot columns. Stock Merlin multiplies sparse one-hot columns,
    which ONNX has no like of; tables of width 1 are the same sum.
    """
    numbers = schema.select_by_tag(Tags.CONTINUOUS)
    branches = {"categories": embedding_tables(schema.select_by_tag(Tags.CATEGORICAL), seed, 1, l2)}
    if numbers:
        branches["numbers"] = mm.ContinuousProjection(numbers, logit())
    return mm.ParallelBlock(branches, aggregation="element-wise-sum")
