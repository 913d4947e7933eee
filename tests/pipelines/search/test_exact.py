"""Exact search gives what sorting all float64 products gives, whoever asks beside."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from search_formula import by_formula, same

from towermill.errors import BundleError
from towermill.pipelines.search import exact
from towermill.pipelines.search.exact import check_queries, exact_search
from towermill.pipelines.search.lengths import lengths, unit


def search(vectors: NDArray, queries: NDArray, k: int, exclude: list | None = None) -> tuple:
    longest = float(lengths(vectors).max(initial=0))
    if exclude is not None:
        exclude = [np.array(rows, np.int64) for rows in exclude]
    return exact_search(vectors, longest, queries, k, exclude)


class TestExactSearch:
    @pytest.mark.parametrize("products", [64, 1000, 2**20])
    @pytest.mark.parametrize("case", range(12))
    def test_is_the_formula(
        self, case: int, products: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Of few products to a block, many blocks: bounds are set and raised between them.
        monkeypatch.setattr(exact, "_BLOCK_PRODUCTS", products)
        rng = np.random.default_rng(case)
        items, dim, queries, k = (int(rng.integers(1, top)) for top in (800, 20, 90, 60))
        vectors = rng.standard_normal((items, dim)).astype(np.float32)
        asked = rng.standard_normal((queries, dim)).astype(np.float32)
        if case % 3 == 0:  # whole numbers: most scores are equal to others
            vectors, asked = vectors.round(), asked.round()
        exclude = None
        if case % 2:
            exclude = [rng.integers(0, items, rng.integers(0, 9)) for _ in range(queries)]
        same(search(vectors, asked, k, exclude), by_formula(vectors, asked, k, exclude))

    def test_an_answer_does_not_depend_on_what_else_is_asked(self, world: tuple) -> None:
        vectors, queries = world
        together = search(vectors, queries, 50)
        for i in range(0, 100, 7):
            same(search(vectors, queries[i : i + 1], 50), tuple(t[i : i + 1] for t in together))

    def test_what_float32_cannot_tell_apart_is_told_apart(self) -> None:
        # Scores differ by far less than float32 sums of their terms do: 1e6 comes and goes.
        rng = np.random.default_rng(0)
        vectors = rng.standard_normal((5000, 32)).astype(np.float32)
        vectors[:, 0], vectors[:, 31] = 1e6, 1e6
        queries = rng.standard_normal((3, 32)).astype(np.float32)
        queries[:, 0], queries[:, 31] = 1, -1
        found, expected = search(vectors, queries, 20), by_formula(vectors, queries, 20)
        plain = np.argsort(-(queries @ vectors.T), axis=1)[:, :20]
        assert (plain != expected[0]).any()
        same(found, expected)

    def test_best_last(self) -> None:
        vectors = np.arange(1, 300_001, dtype=np.float32)[:, None] / 2**10
        rows, scores = search(vectors, np.ones((1, 1), np.float32), 3)
        assert rows.tolist() == [[299_999, 299_998, 299_997]]
        np.testing.assert_array_equal(scores[0], vectors[rows[0], 0])

    @pytest.mark.parametrize("query", [0.0, 1.0])
    def test_of_equal_scores_the_first_rows(self, query: float) -> None:
        vectors = np.ones((200_000, 4), np.float32)
        rows, scores = search(vectors, np.full((2, 4), query, np.float32), 5, [[0, 2], []])
        assert rows.tolist() == [[1, 3, 4, 5, 6], [0, 1, 2, 3, 4]]
        assert (scores == 4 * query).all()

    def test_fewer_than_asked_for(self) -> None:
        vectors = np.eye(3, dtype=np.float32)
        queries = np.array([[1, 2, 3], [3, 2, 1]], np.float32)
        rows, scores = search(vectors, queries, 5, [[], [0, 1, 2]])
        assert rows.tolist() == [[2, 1, 0, -1, -1], [-1] * 5]
        assert scores.tolist() == [[3, 2, 1, -np.inf, -np.inf], [-np.inf] * 5]

    def test_nothing_to_find_and_nobody_to_ask(self) -> None:
        rows, scores = search(np.zeros((0, 4), np.float32), np.ones((2, 4), np.float32), 3)
        assert (rows == -1).all()
        assert (scores == -np.inf).all()
        rows, _ = search(np.ones((5, 4), np.float32), np.ones((0, 4), np.float32), 3)
        assert rows.shape == (0, 3)

    def test_numbers_near_the_smallest(self) -> None:
        rng = np.random.default_rng(1)
        vectors = (rng.standard_normal((500, 8)) * 1e-20).astype(np.float32)
        queries = (rng.standard_normal((4, 8)) * 1e-20).astype(np.float32)
        same(search(vectors, queries, 10), by_formula(vectors, queries, 10))

    def test_from_a_file_and_nothing_is_changed(self, world: tuple, tmp_path: Path) -> None:
        vectors, queries = world
        np.save(tmp_path / "v.npy", vectors)
        mapped, before = np.load(tmp_path / "v.npy", mmap_mode="r"), queries.copy()
        same(search(mapped, queries, 10), search(vectors, queries, 10))
        np.testing.assert_array_equal(queries, before)

    def test_faiss_finds_the_same(self, world: tuple) -> None:
        faiss = pytest.importorskip("faiss")
        vectors, queries = world
        flat = faiss.IndexFlatIP(16)
        flat.add(vectors)
        scores, rows = flat.search(queries, 20)
        found = search(vectors, queries, 20)
        np.testing.assert_allclose(found[1], scores, rtol=1e-5, atol=1e-5)
        assert (found[0] == rows).mean() > 0.999

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e38])
    def test_queries_that_cannot_be_scored(self, bad: float) -> None:
        queries = np.ones((3, 4), np.float32)
        check_queries(queries, 10.0)
        queries[1, 2] = bad
        with pytest.raises(BundleError, match="Expected queries that are finite"):
            check_queries(queries, 10.0)


class TestUnit:
    def test_length_one_and_zero_stays(self) -> None:
        vectors = np.array([[3, 4], [0, 0], [1e-30, 0], [1e30, 1e30]], np.float32)
        expected = [[0.6, 0.8], [0, 0], [1, 0], [np.sqrt(0.5), np.sqrt(0.5)]]
        np.testing.assert_allclose(unit(vectors), expected, rtol=1e-6)
