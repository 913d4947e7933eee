"""WARP against a slow formula."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from towermill.models.objectives.catalogue_losses.base import CatalogueItems, Targets
from towermill.models.objectives.catalogue_losses.warp import WARP

ITEMS, DIM, NEGATIVES = 30, 4, 12


def loss_of(vectors: np.ndarray, **keys: Any) -> WARP:
    """Return the loss over items with these embeddings."""
    ids = np.arange(len(vectors), dtype=np.int32)
    tower = lambda features, training: tf.gather(vectors, features["item_id"])  # noqa: E731
    config = SimpleNamespace(num_negatives=NEGATIVES, temperature=1.0, l2=0.0)
    items = CatalogueItems(tower, {"item_id": ids}, np.ones(len(ids), np.int64))
    return WARP(items, SimpleNamespace(**{**vars(config), **keys}), seed=3)


def slow(
    queries: np.ndarray, vectors: np.ndarray, pairs: list[tuple[int, int]], own: Any, drawn: Any
) -> float:
    """Draw until an item violates, for one target after another."""
    total = 0.0
    for query, item in pairs:
        right, loss = queries[query] @ vectors[item], 0.0
        for draws, other in enumerate(drawn, start=1):
            margin = 1 - right + queries[query] @ vectors[other]
            if other not in own[query] and margin > 0:
                rank = (len(vectors) - 1) // draws
                loss = sum(1 / place for place in range(1, rank + 1)) * margin
                break
        total += loss / np.sqrt(sum(one == query for one, _ in pairs))
    return total / len(queries)


@pytest.mark.parametrize("hides", [False, True])
@pytest.mark.parametrize("scale", [0.3, 3.0])
def test_is_the_slow_formula(scale: float, hides: bool) -> None:
    rng = np.random.default_rng(0)
    queries, vectors = (rng.normal(0, scale, (n, DIM)).astype(np.float32) for n in (5, ITEMS))
    pairs = [(0, 1), (0, 2), (1, 3), (2, 29), (4, 7), (4, 8), (4, 9)]
    hidden = [(0, 4), (0, 5), (3, 6), (4, 20), (4, 21)] if hides else []
    own = {query: {i for q, i in pairs + hidden if q == query} for query in range(5)}
    loss = loss_of(vectors)
    rows, items = (tf.constant(column, tf.int64) for column in zip(*pairs, strict=True))
    targets = Targets(
        tf.constant(queries), rows, items, tf.constant(hidden, tf.int64) if hides else None
    )
    found = float(loss(targets))
    drawn = loss.positions(NEGATIVES, tf.constant(1, tf.int64)).numpy()
    assert found == pytest.approx(slow(queries, vectors, pairs, own, drawn), rel=1e-5)
    assert found > 0


def test_a_target_above_all_has_no_loss_and_no_gradient() -> None:
    vectors = np.zeros((ITEMS, 2), np.float32)
    vectors[5] = [2, 0]
    queries = tf.constant([[1.0, 0.0]])
    loss = loss_of(vectors)
    with tf.GradientTape() as tape:
        tape.watch(queries)
        found = loss(Targets(queries, tf.constant([0], tf.int64), tf.constant([5], tf.int64)))
    assert float(found) == 0
    np.testing.assert_array_equal(tape.gradient(found, queries), np.zeros((1, 2)))
