"""Item-based neighbours: similarities by hand, and towers that sum them."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp
from contract import ServedContract

from towermill.columns import FIRST_ID, HISTORY
from towermill.errors import RecipeError
from towermill.models.architectures.linear import item_knn, knn_weights
from towermill.models.architectures.linear.knn_weights import bm25_weights, neighbour_matrix
from towermill.models.architectures.linear.matrix import interaction_matrix
from towermill.models.build import build_model
from towermill.models.configs.linear.item_knn import ItemKnnConfig
from towermill.models.configs.train import TrainConfig
from towermill.models.data.interactions import Processed


def slow_neighbours(dense: np.ndarray, neighbours: int, shrink: float) -> np.ndarray:
    """Return the similarities, a pair at a time."""
    items = dense.shape[1]
    found = np.zeros((items, items))
    for j in range(items):
        similar = []
        for i in range(items):
            lengths = np.linalg.norm(dense[:, i]) * np.linalg.norm(dense[:, j])
            value = 0.0 if i == j else dense[:, i] @ dense[:, j] / (lengths + shrink)
            similar.append((-value, i))
        for value, i in sorted(similar)[:neighbours]:
            found[i, j] = -value
    return found


def slow_bm25(dense: np.ndarray) -> np.ndarray:
    """Return the weights of a matrix of users by items, an entry at a time."""
    users, items = dense.shape
    found = np.zeros(dense.shape)
    mean = dense.sum() / items
    for u in range(users):
        for i in range(items):
            if dense[u, i]:
                length = 0.25 + 0.75 * dense[:, i].sum() / mean
                rarity = max(np.log(items) - np.log1p(dense[u].sum()), 0)
                found[u, i] = 2.2 / (1.2 * length + 1) * rarity
    return found


@pytest.fixture
def matrix() -> sp.csr_matrix:
    rng = np.random.default_rng(3)
    dense = (rng.random((30, 17)) < rng.random(17)).astype(np.float32)
    dense[0] = 1
    return sp.csr_matrix(dense)


class TestItemKnn(ServedContract):
    model = ItemKnnConfig(neighbours=30)
    train = TrainConfig()
    world = "history_world"

    def test_sums_the_similarities_of_the_history(self, loaded: tuple[Processed, object]) -> None:
        data, model = loaded
        dense = interaction_matrix(data).toarray()
        lists = [[7, 20, 9], [20, 9, 9, 7, 1, 2, 0], []]
        asked = pl.DataFrame({HISTORY: lists}, schema={HISTORY: pl.List(pl.Int32)})
        found = model.scores(asked, data.items)(0, 3)
        expected = slow_neighbours(slow_bm25(dense), 30, 10.0)[np.array([7, 20, 9]) - FIRST_ID].sum(
            axis=0
        )
        np.testing.assert_allclose(found[0], expected, atol=1e-5)
        np.testing.assert_allclose(found[1], expected, atol=1e-5)
        assert not found[2].any()


class TestNeighbours:
    @pytest.mark.parametrize("neighbours", [1, 5, 17, 40])
    @pytest.mark.parametrize("shrink", [0.0, 10.0])
    def test_are_those_of_the_slow_formula(
        self, matrix: sp.csr_matrix, neighbours: int, shrink: float
    ) -> None:
        found = neighbour_matrix(matrix, neighbours, shrink).toarray()
        np.testing.assert_allclose(
            found, slow_neighbours(matrix.toarray(), neighbours, shrink), atol=1e-5
        )

    def test_blocks_change_nothing(
        self, matrix: sp.csr_matrix, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = neighbour_matrix(matrix, 4, bm25=True).toarray()
        monkeypatch.setattr(knn_weights, "_BLOCK", 2 * 17)
        np.testing.assert_array_equal(neighbour_matrix(matrix, 4, bm25=True).toarray(), whole)

    def test_bm25(self, matrix: sp.csr_matrix) -> None:
        found = bm25_weights(matrix).toarray()
        np.testing.assert_allclose(found, slow_bm25(matrix.toarray()), rtol=1e-5)
        assert (matrix.data == 1).all()


def test_refuses_a_large_catalogue(
    history_data: Processed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(item_knn, "MOST_ITEMS", 100)
    with pytest.raises(RecipeError, match=r"at most 100 items.*Received: 120"):
        build_model(history_data, ItemKnnConfig())
