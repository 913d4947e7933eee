"""Neighbours by cosine: order, what has none, and that each is found once."""

from __future__ import annotations

import numpy as np

from towermill.pipelines.recommend.neighbours import Neighbours

VECTORS = np.array([[1, 0], [10, 1], [0, 2], [1, 1], [0, 0]], np.float32)


class TestNeighbours:
    def test_nearest_first_whatever_the_length(self) -> None:
        nearest, cosines = Neighbours(VECTORS, 3).of(np.array([0, 2]))
        assert nearest.tolist() == [[1, 3, 2], [3, 1, 0]]
        half = 1 / np.sqrt(2)
        np.testing.assert_allclose(cosines[0], [10 / np.sqrt(101), half, 0], atol=1e-6)

    def test_zeros_have_none_and_are_none(self) -> None:
        nearest, _ = Neighbours(VECTORS, 4).of(np.array([4, 0]))
        assert nearest.tolist() == [[-1] * 4, [1, 3, 2, -1]]

    def test_as_by_brute_force(self) -> None:
        vectors = np.random.default_rng(0).normal(size=(700, 5)).astype(np.float32)
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        cosines = unit @ unit.T
        np.fill_diagonal(cosines, -2)
        nearest, _ = Neighbours(vectors, 6).of(np.arange(700))
        np.testing.assert_array_equal(nearest, np.argsort(-cosines, axis=1)[:, :6])

    def test_found_once(self) -> None:
        neighbours = Neighbours(VECTORS, 2)
        first = neighbours.of(np.array([0, 0, 1]))[0]
        neighbours.vectors[:] = np.nan
        np.testing.assert_array_equal(neighbours.of(np.array([0, 0, 1]))[0], first)

    def test_fewer_items_than_neighbours(self) -> None:
        assert Neighbours(VECTORS[:1], 5).of(np.array([0]))[0].shape == (1, 0)
