"""ALS: folded in by conjugate gradients as by a direct solver."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from contract import ServedContract

from towermill.columns import FIRST_ID, HISTORY
from towermill.models.architectures.linear.als import steps_for
from towermill.models.architectures.linear.als_weights import als_factors, fold_in
from towermill.models.architectures.linear.matrix import interaction_matrix
from towermill.models.configs.linear.als import AlsConfig
from towermill.models.configs.train import TrainConfig
from towermill.models.data.interactions import Processed

pytest.importorskip("implicit")
from implicit.cpu.als import AlternatingLeastSquares
from threadpoolctl import threadpool_limits


class TestAls(ServedContract):
    model = AlsConfig(factors=12, l2=1.0, alpha=20.0)
    train = TrainConfig()
    world = "history_world"

    def test_the_tower_solves_as_numpy_does(self, loaded: tuple[Processed, object]) -> None:
        data, model = loaded
        vectors = model.embed_items(data.items)
        lists = [[7, 20, 9], [], list(range(3, 40)), [50, 50, 2, 0]]
        asked = pl.DataFrame({HISTORY: lists}, schema={HISTORY: pl.List(pl.Int32)})
        found = model.embed_queries(asked)
        for row, ids in enumerate([lists[0], [], lists[2][-data.history_size :], [50]]):
            z = vectors[np.array(ids, int) - FIRST_ID].astype(np.float64)
            expected = np.linalg.solve(np.eye(12) + 20 * z.T @ z, 21 * z.sum(axis=0))
            np.testing.assert_allclose(found[row], expected, rtol=1e-3, atol=1e-4)


class TestFactors:
    def test_scores_are_those_of_the_library_s_own_factors(self, history_data: Processed) -> None:
        matrix = interaction_matrix(history_data)
        with threadpool_limits(1, "blas"):
            library = AlternatingLeastSquares(
                factors=8, regularization=2.0, alpha=6.0, iterations=5, random_state=1
            )
            library.fit(matrix, show_progress=False)
        y = library.item_factors.astype(np.float64)
        vectors = als_factors(matrix, factors=8, l2=2.0, alpha=5.0, iterations=5, seed=1)
        found = fold_in(matrix[:9], vectors, 5.0) @ vectors.T
        for user in range(9):
            own = y[matrix[user].indices]
            left = y.T @ y + 2 * np.eye(8) + 5 * own.T @ own
            expected = y @ np.linalg.solve(left, 6 * own.sum(axis=0))
            np.testing.assert_allclose(found[user], expected, atol=1e-3)
        np.testing.assert_allclose(expected, y @ library.recalculate_user(8, matrix[8]), atol=1e-3)
        values = np.linalg.eigvalsh(vectors.T @ vectors)
        assert 0 < values.min() <= values.max() <= 1 + 1e-5

    def test_a_seed_decides_them(self, history_data: Processed) -> None:
        matrix = interaction_matrix(history_data)
        options = {"factors": 4, "l2": 2.0, "alpha": 5.0, "iterations": 2}
        one, same, other = (als_factors(matrix, seed=seed, **options) for seed in (1, 1, 2))
        np.testing.assert_allclose(one, same, atol=1e-5)
        assert np.abs(one - other).max() > 1e-3


def test_steps_rise_with_the_confidence() -> None:
    assert steps_for(1.0, 64) < steps_for(10.0, 64) < steps_for(40.0, 64)
    assert steps_for(40.0, 5) == 5
