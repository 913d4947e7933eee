"""A blend of retrievers as one retriever: their embeddings side by side."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import tensorflow as tf
from merlin.schema import Schema
from numpy.typing import NDArray

from towermill.models.contracts.retriever import Retriever, nothing_to_learn
from towermill.models.data.interactions import Processed
from towermill.models.data.tensors import of_schema

if TYPE_CHECKING:
    from towermill.models.configs.blend import BlendConfig

#: Weights of two parts that are tried on the validation split: these steps, then half of them.
_STEP: Final = 0.2
#: Share of the best score within which weights count as equals.
_PLATEAU: Final = 0.005
_LEAST_VARIANCE: Final = 1e-12


def build_blend(
    data: Processed, config: BlendConfig, *, batch_size: int = 4096, seed: int = 0
) -> BlendRetriever:
    """Return the untrained parts as one retriever.

    A part's score of an item is q·v. Over the catalogue its variance is qᵀ C q, where C is the
    covariance of the item vectors; divided by its root, the scores of all parts have one scale, and
    the blend is their weighted sum. What a constant adds to all scores does not change a ranking,
    so the mean stays.
    """
    made = [one.create(data, batch_size=batch_size, seed=seed) for one in config.parts]
    parts = cast(list[Retriever], made)
    given = config.weights or (1.0,) * len(parts)
    query = BlendedQueries([part.query_tower for part in parts], given)
    item = BlendedItems([part.item_tower for part in parts])
    weighted = config.weights is not None
    retriever = BlendRetriever(
        query, item, None, nothing_to_learn, retrievers=parts, weighted=weighted
    )
    retriever.build(data)
    return retriever


class BlendedQueries(tf.keras.layers.Layer):  # type: ignore[misc]
    """The parts' query embeddings side by side, each scaled to scores of its weight's deviation."""

    def __init__(self, towers: Sequence[Any], weights: Sequence[float]) -> None:
        super().__init__()
        self.towers, self.schema = list(towers), _union(towers)
        self.weighting = self.add_weight(
            name="weighting",
            shape=(len(towers),),
            initializer=tf.keras.initializers.Constant(list(weights)),
            trainable=False,
        )
        self.covariances: list[tf.Variable] = []

    def make_room(self, dims: Sequence[int]) -> None:
        """Create the covariances, zeros until `hold`, for vectors of the parts' widths."""
        self.covariances = [
            tf.Variable(tf.zeros([dim, dim]), trainable=False, name=f"covariance_{place}")
            for place, dim in enumerate(dims)
        ]

    def hold(self, items: Sequence[NDArray[np.float32]]) -> None:
        """Compute the covariances from the parts' vectors of the catalogue, ``(items, dim)``."""
        for covariance, vectors in zip(self.covariances, items, strict=True):
            centred = vectors - vectors.mean(axis=0)
            covariance.assign((centred.T @ centred / len(centred)).astype(np.float32))

    def call(self, inputs: Mapping[str, tf.Tensor], training: Any = None) -> tf.Tensor:
        """Return float32 ``(rows, sum of the parts' dims)``."""
        found = []
        for place, (tower, covariance) in enumerate(
            zip(self.towers, self.covariances, strict=True)
        ):
            query = tf.cast(tower(of_schema(inputs, tower.schema), training=training), tf.float32)
            variance = tf.reduce_sum(tf.matmul(query, covariance) * query, axis=1, keepdims=True)
            scale = tf.math.rsqrt(tf.maximum(variance, _LEAST_VARIANCE))
            found.append(self.weighting[place] * scale * query)
        return tf.concat(found, axis=1)


class BlendedItems(tf.keras.layers.Layer):  # type: ignore[misc]
    """The parts' item embeddings side by side."""

    def __init__(self, towers: Sequence[Any]) -> None:
        super().__init__()
        self.towers, self.schema = list(towers), _union(towers)

    def call(self, inputs: Mapping[str, tf.Tensor], training: Any = None) -> tf.Tensor:
        """Return float32 ``(rows, sum of the parts' dims)``."""
        return tf.concat(
            [
                tf.cast(tower(of_schema(inputs, tower.schema), training=training), tf.float32)
                for tower in self.towers
            ],
            axis=1,
        )


@dataclass
class BlendRetriever(Retriever):
    """A `Retriever` made of several.

    Attributes
    ----------
    retrievers
        The parts.
    weighted
        Whether the recipe gives the weights; otherwise `weigh` chooses them.
    """

    retrievers: Sequence[Retriever] = field(default_factory=list)
    weighted: bool = False

    @property
    def rows_at_once(self) -> int:
        """Rows a call when a whole table is encoded."""
        return min(part.rows_at_once for part in self.retrievers)

    def build(self, data: Processed) -> None:
        """Create every weight."""
        one = data.items.head(1)
        self.query_tower.make_room([part.embed_items(one).shape[1] for part in self.retrievers])
        super().build(data)

    def prepare(self, data: Processed) -> None:
        """Take the parts' present item vectors for the scale of their scores."""
        self.query_tower.hold([part.embed_items(data.items) for part in self.retrievers])

    def weigh(
        self, score: Callable[[Retriever], float]
    ) -> tuple[tuple[float, ...], dict[tuple[float, ...], float]]:
        """Choose the weights by `score`; return them, and all that were tried with their scores.

        Steps of 0.2, and of 0.1 about the best; in each, the weights sum to 1. The mean of all
        whose score is within 0.5 % of the best is taken: among equals the noise of the validation
        split decides, and a mean lies in the middle of the plateau.
        """
        tried: dict[tuple[float, ...], float] = {}

        def attempt(weights: tuple[float, ...]) -> None:
            if weights not in tried:
                self.query_tower.weighting.assign(weights)
                tried[weights] = score(self)

        for weights in _simplex(len(self.retrievers), _STEP):
            attempt(weights)
        for weights in _around(max(tried, key=lambda one: tried[one]), _STEP / 2):
            attempt(weights)
        best = max(tried.values())
        least = best - _PLATEAU * abs(best)
        good = [one for one, found in tried.items() if found >= least]
        chosen = tuple(np.mean(good, axis=0).round(3).tolist())
        attempt(chosen)
        if tried[chosen] < least:  # it lies between two peaks
            chosen = max(tried, key=lambda one: tried[one])
        self.query_tower.weighting.assign(chosen)
        return chosen, tried


def _simplex(parts: int, step: float) -> list[tuple[float, ...]]:
    """Return all weights that are multiples of `step` and sum to 1."""
    count = round(1 / step)
    grid = itertools.product(range(count + 1), repeat=parts)
    return [tuple(round(n * step, 2) for n in one) for one in grid if sum(one) == count]


def _around(weights: tuple[float, ...], step: float) -> list[tuple[float, ...]]:
    """Return the weights with `step` moved from one part to another."""
    found = []
    for giver, taker in itertools.permutations(range(len(weights)), 2):
        if weights[giver] >= step:
            moved = list(weights)
            moved[giver], moved[taker] = moved[giver] - step, moved[taker] + step
            found.append(tuple(round(one, 2) for one in moved))
    return found


def _union(towers: Sequence[Any]) -> Schema:
    """Return the columns of all towers, each once."""
    return Schema(list({column.name: column for t in towers for column in t.schema}.values()))
