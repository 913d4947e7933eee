from __future__ import annotations

import pickle
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from towermill.errors import DataError, TowermillError
from towermill.models.data.lists import Lists, TopK
from towermill.models.evaluation.top_k import dot_product_scores, top_k


def table(scores: Any) -> Callable[[int, int], np.ndarray]:
    array = np.asarray(scores)

    def score_block(start: int, stop: int) -> np.ndarray:
        return array[start:stop]

    return score_block


def slow_top_k(scores: np.ndarray, seen: list[set[int]], k: int) -> list[list[int]]:
    """Sort each row by (score falling, position rising), in plain Python."""
    lists = []
    for row, gone in zip(scores.tolist(), seen, strict=True):
        left = [p for p in range(len(row)) if p not in gone and row[p] != -np.inf]
        best = sorted(left, key=lambda p: (-row[p], p))[:k]
        lists.append(best + [-1] * (k - len(best)))
    return lists


class TestLists:
    def test_from_pairs_sorts_and_removes_duplicates(self) -> None:
        lists = Lists.from_pairs([2, 0, 2, 0, 2], [1, 5, 0, 3, 1], queries=4)
        assert lists.offsets.tolist() == [0, 2, 2, 4, 4]
        assert lists.values.tolist() == [3, 5, 0, 1]
        assert lists.lengths.tolist() == [2, 0, 2, 0]
        assert lists.rows.tolist() == [0, 0, 2, 2]
        assert len(lists) == 4
        assert (str(lists.offsets.dtype), str(lists.values.dtype)) == ("int64", "int32")

    def test_no_pairs(self) -> None:
        assert Lists.from_pairs([], [], queries=2).offsets.tolist() == [0, 0, 0]
        assert len(Lists.from_pairs([], [], queries=0)) == 0

    def test_order_of_the_rows_does_not_matter_and_inputs_stay(self) -> None:
        rng = np.random.default_rng(0)
        rows, positions = rng.integers(0, 20, 300), rng.integers(0, 30, 300).astype(np.int32)
        rows_before, positions_before = rows.copy(), positions.copy()
        lists, order = Lists.from_pairs(rows, positions, 20), rng.permutation(300)
        again = Lists.from_pairs(rows[order], positions[order], 20)
        np.testing.assert_array_equal(lists.offsets, again.offsets)
        np.testing.assert_array_equal(lists.values, again.values)
        np.testing.assert_array_equal(rows, rows_before)
        np.testing.assert_array_equal(positions, positions_before)
        for q in range(20):
            own = lists.values[lists.offsets[q] : lists.offsets[q + 1]]
            assert own.tolist() == sorted(set(positions[rows == q].tolist()))

    @pytest.mark.parametrize(
        ("rows", "positions", "message"),
        [
            ([0, 1], [0], "of one length"),
            ([0, 2], [0, 0], "`rows` should be from 0 to 1"),
            ([0, 1], [0, -1], "`positions` should be from 0"),
            ([0, 1], [0.0, 1.0], "should be integers"),
        ],
    )
    def test_bad_pairs(self, rows: list[int], positions: list[Any], message: str) -> None:
        with pytest.raises(DataError, match=message):
            Lists.from_pairs(rows, positions, queries=2)

    @pytest.mark.parametrize(
        ("offsets", "values", "message"),
        [
            ([0, 2], [1], "should rise from 0"),
            ([0, 2, 1, 2], [0, 1], "should rise from 0"),
            ([0, 2], [1, 1], "strictly ascending"),
            ([0, 2], [2, 1], "strictly ascending"),
            ([0, 1], [-1], "strictly ascending"),
            ([], [], "1-D"),
        ],
    )
    def test_bad_parts(self, offsets: list[int], values: list[int], message: str) -> None:
        with pytest.raises(DataError, match=message):
            Lists(np.array(offsets, np.int64), np.array(values, np.int32))

    def test_values_may_fall_from_one_query_to_the_next(self) -> None:
        offsets = np.array([0, 0, 1, 1, 2, 2], np.int64)
        assert len(Lists(offsets, np.array([7, 7], np.int32))) == 5

    def test_wrong_dtype(self) -> None:
        with pytest.raises(DataError, match="int64 and `values` int32"):
            Lists(np.array([0, 1]), np.array([0.5]))


class TestTopK:
    def test_shapes_must_agree(self) -> None:
        with pytest.raises(DataError, match="of shape \\(queries, k\\)"):
            TopK(np.zeros((2, 3), np.int32), np.zeros((2, 4), np.float32))


class TestRanking:
    def test_by_hand(self) -> None:
        scores = np.array([[0.1, 0.9, 0.5, 0.7], [4.0, 3.0, 2.0, 1.0]], np.float32)
        seen = Lists.from_pairs([0, 1, 1, 1], [1, 0, 1, 2], 2)
        top = top_k(table(scores), 2, 4, 2, seen)
        assert top.positions.tolist() == [[3, 2], [3, -1]]
        np.testing.assert_array_equal(
            top.scores, np.array([[0.7, 0.5], [1.0, -np.inf]], np.float32)
        )
        assert (str(top.positions.dtype), str(top.scores.dtype)) == ("int32", "float32")

    def test_ties_go_by_position_also_at_the_cut(self) -> None:
        scores = [[1, 2, 1, 2, 1, 2], [0, 0, 0, 0, 0, 0], [0, 0, 5, 0, 0, -1]]
        top = top_k(table(scores), 3, 6, 4)
        assert top.positions.tolist() == [[1, 3, 5, 0], [0, 1, 2, 3], [2, 0, 1, 3]]

    def test_zero_and_minus_zero_tie(self) -> None:
        top = top_k(table([[-0.0, 0.0, -0.0, 0.0]]), 1, 4, 3)
        assert top.positions.tolist() == [[0, 1, 2]]

    @pytest.mark.parametrize("seed", range(6))
    @pytest.mark.parametrize("levels", [2, 10, 10**6])
    @pytest.mark.parametrize("k", [1, 7, 40, 55])
    def test_against_a_plain_sort(self, seed: int, levels: int, k: int) -> None:
        rng = np.random.default_rng(seed)
        scores = (rng.integers(0, levels, (23, 40)) / levels).astype(np.float32)
        scores[0, :20] = -np.inf
        scores[1, 3] = np.inf
        rows, positions = rng.integers(0, 22, 200), rng.integers(0, 40, 200)
        rows = np.concatenate([rows, np.full(40, 22)])  # the last query has seen everything
        positions = np.concatenate([positions, np.arange(40)])
        gone = [set(positions[rows == q].tolist()) for q in range(23)]
        seen = Lists.from_pairs(rows, positions, 23)
        before = scores.copy(), seen.values.copy(), seen.offsets.copy()
        expected = slow_top_k(scores, gone, k)
        for block in (None, 1, 5, 23, 100):
            top = top_k(table(scores), 23, 40, k, seen, block=block)
            assert top.positions.tolist() == expected
            padded = top.positions < 0
            assert (top.scores[padded] == -np.inf).all()
            given = np.take_along_axis(scores, np.where(padded, 0, top.positions), axis=1)
            np.testing.assert_array_equal(top.scores[~padded], given[~padded])
        for array, old in zip((scores, seen.values, seen.offsets), before, strict=True):
            np.testing.assert_array_equal(array, old)

    def test_order_of_the_queries_does_not_matter(self) -> None:
        rng = np.random.default_rng(3)
        scores, order = rng.integers(0, 5, (30, 12)), rng.permutation(30)
        top = top_k(table(scores), 30, 12, 5, block=7)
        again = top_k(table(scores[order]), 30, 12, 5, block=7)
        np.testing.assert_array_equal(top.positions[order], again.positions)

    @pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int64, np.uint8])
    def test_any_real_dtype(self, dtype: type) -> None:
        scores: np.ndarray = np.random.default_rng(1).permutation(40).reshape(2, 20).astype(dtype)
        expected = slow_top_k(scores.astype(float), [set(), set()], 5)
        assert top_k(table(scores), 2, 20, 5).positions.tolist() == expected

    def test_float64_is_not_rounded_into_ties(self) -> None:
        scores = np.array([[1.0, 1.0 + 1e-12, 1.0 + 2e-12]])
        assert top_k(table(scores), 1, 3, 2).positions.tolist() == [[2, 1]]

    def test_read_only_scores(self) -> None:
        scores = np.broadcast_to(np.arange(4.0), (3, 4))
        top = top_k(table(scores), 3, 4, 1, Lists.from_pairs([1], [3], 3))
        assert top.positions.tolist() == [[3], [2], [3]]

    def test_no_queries(self) -> None:
        assert top_k(table(np.zeros((0, 4))), 0, 4, 2).positions.shape == (0, 2)

    def test_advance_counts_every_query(self) -> None:
        done: list[int] = []
        top_k(table(np.zeros((10, 4))), 10, 4, 2, block=4, advance=done.append)
        assert done == [4, 4, 2]

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    @pytest.mark.parametrize("tied", [False, True])
    def test_blocks_stay_within_memory(self, dtype: type, tied: bool) -> None:
        def score_block(start: int, stop: int) -> np.ndarray:
            scores: np.ndarray = np.empty((stop - start, 5000), dtype)
            scores[:] = 0 if tied else np.arange(5000)
            return scores

        memory, queries = 8 * 2**20, 400
        tracemalloc.start()
        try:
            top_k(score_block, queries, 5000, 10, memory=memory)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert memory / 4 < peak < memory

    def test_nan_is_an_error(self) -> None:
        scores = np.zeros((6, 4))
        scores[4, 2] = np.nan
        with pytest.raises(TowermillError, match="NaN for 1 of queries 4 … 5, first query 4"):
            top_k(table(scores), 6, 4, 2, block=2)

    @pytest.mark.parametrize("k", [0, -3, 2.0, True, None])
    def test_bad_k(self, k: Any) -> None:
        with pytest.raises(TowermillError, match=f"`k` should be a positive.* Received: k={k}"):
            top_k(table(np.zeros((2, 4))), 2, 4, k)

    def test_bad_block(self) -> None:
        with pytest.raises(TowermillError, match="`block` should be a positive integer"):
            top_k(table(np.zeros((2, 4))), 2, 4, 1, block=0)

    @pytest.mark.parametrize("scores", [np.zeros((2, 5)), np.zeros(2), np.zeros((2, 4), complex)])
    def test_bad_scores(self, scores: np.ndarray) -> None:
        with pytest.raises(TowermillError, match=r"real numbers of shape \(2, 4\)"):
            top_k(table(scores), 2, 4, 1)

    def test_bad_seen(self) -> None:
        with pytest.raises(DataError, match=r"`seen` should have 2 queries\. Received: 3"):
            top_k(table(np.zeros((2, 4))), 2, 4, 1, Lists.from_pairs([0], [0], 3))
        with pytest.raises(DataError, match="`seen` should hold positions below"):
            top_k(table(np.zeros((2, 4))), 2, 4, 1, Lists.from_pairs([0], [4], 2))


class TestDotProductScores:
    def test_scores(self) -> None:
        query = np.array([[1, 0], [0, 2], [1, 1]], np.float32)
        item = np.array([[3, 1], [1, 5]], np.float32)
        scores = dot_product_scores(query, item)
        np.testing.assert_array_equal(scores(1, 3), [[2, 10], [4, 6]])
        assert scores(0, 1).dtype == np.float32

    def test_integer_products_rank_alike_in_every_block(self) -> None:
        rng = np.random.default_rng(5)  # whole numbers: BLAS has nothing to round
        query, item = rng.integers(-4, 5, (50, 8)), rng.integers(-4, 5, (30, 8))
        scores = dot_product_scores(query.astype(np.float32), item.astype(np.float16))
        expected = slow_top_k((query @ item.T).astype(float), [set()] * 50, 9)
        for block in (1, 16, 50):
            assert top_k(scores, 50, 30, 9, block=block).positions.tolist() == expected

    def test_travels_to_a_worker(self) -> None:
        scores = dot_product_scores(np.eye(3), np.eye(3))
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(scores))(0, 3), np.eye(3))

    def test_dimensions_must_agree(self) -> None:
        with pytest.raises(DataError, match="2-D with one dimension"):
            dot_product_scores(np.zeros((3, 2)), np.zeros((3, 4)))
