"""EASE: the dot product is the closed form's score, by hand and by the slow formula."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp
from contract import ServedContract

from towermill.columns import FIRST_ID, HISTORY
from towermill.errors import SchemaError
from towermill.models.architectures.linear.ease_weights import Spectrum, ease_vectors
from towermill.models.architectures.linear.matrix import interaction_matrix
from towermill.models.build import build_model, load_model
from towermill.models.configs.linear.ease import EaseConfig
from towermill.models.configs.train import TrainConfig
from towermill.models.data.interactions import Processed
from towermill.models.training.train import train_model


def random_matrix(users: int, items: int, seed: int = 0) -> sp.csr_matrix:
    """Interactions of which popular items have more, and every item one."""
    rng = np.random.default_rng(seed)
    taste = rng.random((users, 4)) @ rng.random((4, items)) * rng.random(items)
    dense = (rng.random((users, items)) < 0.3 * taste).astype(np.float32)
    dense[rng.integers(0, users, items), np.arange(items)] = 1
    return sp.csr_matrix(dense)


def slow_ease(matrix: sp.csr_matrix, l2: float) -> np.ndarray:
    """Return B as Steck's listing computes it."""
    gram = (matrix.T @ matrix).toarray().astype(np.float64)
    gram[np.diag_indices(len(gram))] += l2
    inverse = np.linalg.inv(gram)
    b = inverse / -np.diag(inverse)
    b[np.diag_indices(len(b))] = 0
    return b


class TestEase(ServedContract):
    model = EaseConfig(l2=5.0)
    train = TrainConfig()
    world = "history_world"

    def test_loading_does_not_solve_again(
        self, fitted: tuple[Path, object], answer: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(EaseConfig, "solve", None)
        _, model = load_model(answer, fitted[0], self.model)
        assert np.abs(model.query_tower.table.table.numpy()).sum() > 0

    def test_users_are_served_from_their_items(self, loaded: tuple[Processed, object]) -> None:
        data, model = loaded
        scores = slow_ease(interaction_matrix(data), 5.0)
        lists = [[7, 20, 9], [], [9, 7, 7, 20, 2, 0, 1], [30], None]
        asked = pl.DataFrame({HISTORY: lists}, schema={HISTORY: pl.List(pl.Int32)})
        found = model.scores(asked, data.items)(0, 5)
        read = np.array([7, 20, 9]) - FIRST_ID
        unseen = np.setdiff1d(np.arange(data.items.height), read)
        expected = scores[read].sum(axis=0)[unseen]
        np.testing.assert_allclose(found[0][unseen], expected, atol=1e-5)
        # As a set: order, repetitions and ids that are no item change nothing.
        np.testing.assert_allclose(found[2], found[0], atol=1e-6)
        assert not found[1].any()
        assert not found[4].any()

    def test_the_last_items_of_a_long_history_count(self, loaded: tuple[Processed, object]) -> None:
        _, model = loaded
        ids = list(range(FIRST_ID, FIRST_ID + 30))
        asked = pl.DataFrame({HISTORY: [ids, ids[-20:]]}, schema={HISTORY: pl.List(pl.Int32)})
        found = model.embed_queries(asked)
        np.testing.assert_array_equal(found[0], found[1])


class TestDenoising:
    """EDLAE and weights of users, against the formula with a dense inverse."""

    @pytest.mark.parametrize(("dropout", "exponent"), [(0.4, 0.0), (0.0, 0.5), (0.3, 1.0)])
    def test_scores(self, history_world: Path, dropout: float, exponent: float) -> None:
        data = Processed(history_world)
        config = EaseConfig(l2=5.0, dropout=dropout, user_exponent=exponent)
        model = build_model(data, config)
        config.solve(model, data, seed=0)
        dense = interaction_matrix(data).toarray().astype(np.float64)
        sums = dense.sum(axis=1)
        weights = sums**-exponent * sums.sum() / (sums ** (1 - exponent)).sum()
        gram = dense.T @ (dense * weights[:, None])
        noisy = gram + np.diag(5.0 + dropout / (1 - dropout) * np.diag(gram))
        inverse = np.linalg.inv(noisy)
        expected = inverse / -np.diag(inverse)
        towers = (model.query_tower, model.item_tower)
        query, item = (tower.table.table.numpy()[FIRST_ID:] for tower in towers)
        found = query @ item.T
        unseen = ~np.eye(len(gram), dtype=bool)
        np.testing.assert_allclose(found[unseen], expected[unseen], atol=1e-5)


class TestVectors:
    @pytest.mark.parametrize(("users", "items"), [(40, 25), (15, 25)])
    @pytest.mark.parametrize("l2", [0.5, 20.0])
    def test_full_width_is_the_closed_form(self, users: int, items: int, l2: float) -> None:
        matrix = random_matrix(users, items)
        query, item = ease_vectors(Spectrum.of(matrix, items), l2, items)
        found = (matrix @ query) @ item.T
        unseen = matrix.toarray() == 0
        expected = matrix @ slow_ease(matrix, l2)
        np.testing.assert_allclose(found[unseen], expected[unseen], atol=1e-4)

    def test_width_of_the_users_is_enough(self) -> None:
        matrix = random_matrix(15, 25)
        full = ease_vectors(Spectrum.of(matrix, 25), 2.0, 25)
        narrow = ease_vectors(Spectrum.of(matrix, 15), 2.0, 15)
        np.testing.assert_allclose(
            matrix @ narrow[0] @ narrow[1].T, matrix @ full[0] @ full[1].T, atol=1e-5
        )

    def test_truncated_solver_agrees_with_the_whole_spectrum(self) -> None:
        matrix = random_matrix(80, 60)
        exact, cut = Spectrum.of(matrix, 12), Spectrum.of(matrix, 12, exact_up_to=10)
        np.testing.assert_allclose(cut.values, exact.values[:12], rtol=1e-6)
        assert cut.rest == pytest.approx(exact.values[12:].mean(), rel=1e-5)
        found, expected = (ease_vectors(s, 5.0, 12) for s in (cut, exact))
        scores = [matrix @ query @ item.T for query, item in (found, expected)]
        # Equal but for the diagonal of P, for which one mean eigenvalue is assumed.
        assert np.corrcoef(scores[0].ravel(), scores[1].ravel())[0, 1] > 0.99

    def test_inputs_are_unchanged_and_results_repeat(self) -> None:
        matrix = random_matrix(80, 60)
        before = matrix.toarray()
        one, other = (Spectrum.of(matrix, 12, exact_up_to=10) for _ in range(2))
        np.testing.assert_array_equal(matrix.toarray(), before)
        np.testing.assert_array_equal(one.vectors, other.vectors)


def test_needs_histories(id_world: Path, tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="history"):
        train_model(id_world, EaseConfig(), TrainConfig(), tmp_path, 0)


def test_is_no_wider_than_the_catalogue(history_data: Processed) -> None:
    model = build_model(history_data, EaseConfig(dim=1000))
    assert model.embed_items(history_data.items).shape == (120, 120)
    assert build_model(history_data, EaseConfig(dim=7)).query_tower.table.table.shape == (123, 7)
