"""Features of one side of a two-tower to the input of its layers."""

from __future__ import annotations

from typing import Any, Protocol

import merlin.models.tf as mm
from merlin.models.utils.schema_utils import get_embedding_size_from_cardinality
from merlin.schema import ColumnSchema, Schema, Tags

from towermill.models.layers.embeddings import PooledTable, first_values


class EmbeddingSettings(Protocol):
    """The keys of a `model` section that say how categories are embedded."""

    @property
    def embedding_dim(self) -> int | None:
        """Width of every table; None infers it from each cardinality."""

    @property
    def l2(self) -> float:
        """Weight of the squared norms of the rows looked up."""


def feature_inputs(
    schema: Schema, config: EmbeddingSettings, seed: int, plain_sum: bool = False
) -> Any:
    """Return Merlin's input block: an embedding table a category, and numbers as they are.

    Parameters
    ----------
    schema
        The encoded features of the side.
    config
        Says how wide and how regularised embeddings are.
    seed
        Seed of their initial values.
    plain_sum
        Add embeddings up, numbers projected to their width, instead of concatenating them.
    """
    categorical = schema.select_by_tag(Tags.CATEGORICAL)
    continuous = schema.select_by_tag(Tags.CONTINUOUS)
    embeddings = embedding_tables(categorical, seed, config.embedding_dim, config.l2)
    branches: dict[str, Any] = {"categorical": embeddings}
    if plain_sum and continuous:
        branches["continuous"] = mm.ContinuousProjection(
            continuous, mm.MLPBlock([config.embedding_dim], activation="linear")
        )
    return mm.InputBlockV2(
        schema, aggregation="element-wise-sum" if plain_sum else "concat", **branches
    )


def embedding_tables(schema: Schema, seed: int, dim: int | None, l2: float = 0.0) -> Any:
    """Return Merlin's block of an embedding table for each of some categories.

    Parameters
    ----------
    schema
        The categories.
    seed
        Seed of the initial values.
    dim
        Width of each table; None infers it from each cardinality.
    l2
        Weight of the squared norms of the rows looked up.
    """
    return mm.Embeddings(
        schema,
        dim=dim,
        infer_dim_fn=inferred_dim,
        table_cls=PooledTable,
        l2_batch_regularization_factor=l2,
        # One instance a table: a shared one would start equal tables alike.
        embeddings_initializer={name: first_values(name, seed) for name in schema.column_names},
    )


def inferred_dim(column: ColumnSchema) -> int:
    """Return the width of a column's embedding table, by Merlin's rule.

    It depends on the number of ids; in a continued run, on that of the run that made the table.
    """
    sizes = column.properties.get("embedding_sizes", {})
    ids = int(sizes.get("cardinality", column.int_domain.max + 1))
    return int(get_embedding_size_from_cardinality(ids, 2.0, True))
