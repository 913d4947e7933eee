from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import (
    label_ranking_average_precision_score,
    ndcg_score,
    precision_score,
    recall_score,
)

from towermill.errors import DataError, TowermillError
from towermill.models.data.lists import Lists, TopK
from towermill.models.evaluation.top_k import top_k
from towermill.models.metrics.catalogue.base import hits
from towermill.models.metrics.catalogue.ranking import per_query, ranking_metrics

ACCURACY = ["recall", "precision", "hit_rate", "ndcg", "mrr", "map"]


def lists_of(sets: list[set[int]]) -> Lists:
    pairs = [(q, p) for q, own in enumerate(sets) for p in own]
    rows, positions = zip(*pairs, strict=True) if pairs else ((), ())
    return Lists.from_pairs(rows, positions, len(sets))


def top_of(positions: list[list[int]]) -> TopK:
    array = np.array(positions, np.int32)
    return TopK(array, np.where(array < 0, -np.inf, 0.0).astype(np.float32))


def slow_metrics(ranked: list[int], relevant: set[int], k: int) -> dict[str, float]:
    """The formulas, one item after another."""
    found, dcg, first, precisions = 0, 0.0, 0.0, 0.0
    for place, item in enumerate(ranked[:k], start=1):
        if item in relevant:
            found += 1
            dcg += 1 / math.log2(place + 1)
            first = first or 1 / place
            precisions += found / place
    ideal = sum(1 / math.log2(place + 1) for place in range(1, min(len(relevant), k) + 1))
    return {
        "recall": found / len(relevant),
        "precision": found / k,
        "hit_rate": float(found > 0),
        "ndcg": dcg / ideal,
        "mrr": first,
        "map": precisions / min(len(relevant), k),
    }


class World:
    """Random scores with many ties, queries without relevant items, items seen."""

    def __init__(self, seed: int, queries: int = 40, items: int = 25, k: int = 30) -> None:
        rng = np.random.default_rng(seed)
        self.items = items
        self.scores = rng.integers(0, 6, (queries, items)).astype(np.float32)
        sizes = rng.integers(0, 9, queries)
        sizes[0], sizes[1] = 0, 1
        self.relevant = [set(rng.choice(items, n, replace=False).tolist()) for n in sizes]
        self.seen = [set(rng.choice(items, 5, replace=False).tolist()) for _ in sizes]
        self.seen[2] = set(range(items))
        self.counts = rng.integers(0, 50, items)
        self.counts[:3] = 0
        self.top = top_k(self.score_block, queries, items, k, lists_of(self.seen), block=7)
        self.cuts = [1, 3, 10, 30]

    def score_block(self, start: int, stop: int) -> np.ndarray:
        return self.scores[start:stop]


class TestByHand:
    """Catalogue of 5; query 0 finds 1 of 2 at place 2, query 1 both of its 2, query 2 is empty."""

    top = top_of([[4, 0, 3], [1, 2, 0], [0, 1, 2]])
    relevant = lists_of([{0, 1}, {1, 2}, set()])
    counts = np.array([8, 4, 2, 2, 0])

    def test_accuracy(self) -> None:
        got = per_query(self.top, self.relevant, [1, 3], None, 5)
        second = 1 / math.log2(3)
        expected: dict[str, list[float]] = {
            "recall@1": [0, 0.5],
            "recall@3": [0.5, 1],
            "precision@1": [0, 1],
            "precision@3": [1 / 3, 2 / 3],
            "hit_rate@1": [0, 1],
            "hit_rate@3": [1, 1],
            "ndcg@1": [0, 1],
            "ndcg@3": [second / (1 + second), 1],
            "mrr@1": [0, 1],
            "mrr@3": [0.5, 1],
            "map@1": [0, 1],
            "map@3": [0.25, 1],
        }
        assert set(got) == set(expected)
        for name, values in expected.items():
            np.testing.assert_allclose(got[name], [*values, np.nan], err_msg=name)
        means = ranking_metrics(self.top, self.relevant, [1, 3], None, 5)
        for name, values in expected.items():
            assert means[name] == pytest.approx(np.mean(values)), name

    def test_beyond_accuracy(self) -> None:
        profiles = lists_of([{0, 1}, {3}, {4}])
        got = ranking_metrics(self.top, self.relevant, (1, 3), self.counts, 5, profiles=profiles)
        assert got["coverage@1"] == 2 / 5  # items 4 and 1: the empty query does not count
        assert got["coverage@3"] == 1
        # Shares of 16 interactions: 1/2, 1/4, 1/8, 1/8, and 1/16 for the one never seen.
        assert got["novelty@1"] == pytest.approx((4 + 2) / 2)
        assert got["novelty@3"] == pytest.approx(((4 + 1 + 3) / 3 + (2 + 3 + 1) / 3) / 2)
        assert got["average_popularity@1"] == pytest.approx((0 + 4) / 2)
        assert got["average_popularity@3"] == pytest.approx((10 / 3 + 14 / 3) / 2)
        assert got["popularity_ratio@3"] == pytest.approx(4 / ((6 + 2) / 2))

    def test_padding(self) -> None:
        top, relevant = top_of([[3, -1, -1], [-1, -1, -1]]), lists_of([{3, 4}, {0}])
        got = per_query(top, relevant, [3], self.counts, 5)
        np.testing.assert_allclose(got["precision@3"], [1 / 3, 0])
        np.testing.assert_allclose(got["recall@3"], [1 / 2, 0])
        np.testing.assert_allclose(got["novelty@3"], [3, np.nan])
        np.testing.assert_allclose(got["average_popularity@3"], [2, np.nan])
        means = ranking_metrics(top, relevant, [3], self.counts, 5)
        assert (means["recall@3"], means["novelty@3"], means["coverage@3"]) == (0.25, 3, 0.2)

    def test_padding_is_not_the_last_item_of_the_query_before(self) -> None:
        top, relevant = top_of([[0, 1], [0, -1]]), lists_of([{4}, {1}])
        assert not hits(top, relevant, 5).any()

    def test_perfect_and_useless_lists(self) -> None:
        relevant = lists_of([{0, 1, 2, 3}, {4}])
        best = ranking_metrics(top_of([[3, 1], [4, 0]]), relevant, [2], None, 5)
        assert best["ndcg@2"] == best["map@2"] == best["mrr@2"] == best["hit_rate@2"] == 1
        assert best["recall@2"] == (0.5 + 1) / 2
        worst = ranking_metrics(top_of([[4, -1], [0, 1]]), relevant, [2], None, 5)
        assert all(worst[f"{name}@2"] == 0 for name in ACCURACY)


@pytest.mark.parametrize("seed", range(6))
class TestAgainstFormulas:
    def test_accuracy(self, seed: int) -> None:
        world = World(seed)
        got = per_query(world.top, lists_of(world.relevant), world.cuts, None, world.items)
        for k in world.cuts:
            for q, relevant in enumerate(world.relevant):
                ranked = world.top.positions[q].tolist()
                expected = slow_metrics(ranked, relevant, k) if relevant else {}
                for name in ACCURACY:
                    value = expected.get(name, math.nan)
                    assert got[f"{name}@{k}"][q] == pytest.approx(value, nan_ok=True), (name, q)

    def test_beyond_accuracy(self, seed: int) -> None:
        world = World(seed)
        profiles = lists_of(world.seen)
        got = ranking_metrics(
            world.top,
            lists_of(world.relevant),
            world.cuts,
            world.counts,
            world.items,
            profiles=profiles,
        )
        total = int(world.counts.sum())
        for k in world.cuts:
            shown: set[int] = set()
            novelty, popularity, own = [], [], []
            for q, relevant in enumerate(world.relevant):
                ranked = [p for p in world.top.positions[q, :k].tolist() if p >= 0]
                if not relevant or not ranked:
                    continue
                shown.update(ranked)
                counts = [int(world.counts[p]) for p in ranked]
                novelty.append(sum(-math.log2(max(c, 1) / total) for c in counts) / len(counts))
                popularity.append(sum(counts) / len(counts))
                own.append(sum(int(world.counts[p]) for p in world.seen[q]) / len(world.seen[q]))
            assert got[f"coverage@{k}"] == pytest.approx(len(shown) / world.items)
            assert got[f"novelty@{k}"] == pytest.approx(np.mean(novelty))
            assert got[f"average_popularity@{k}"] == pytest.approx(np.mean(popularity))
            ratio = np.mean(popularity) / np.mean(own)
            assert got[f"popularity_ratio@{k}"] == pytest.approx(ratio)

    def test_means_leave_out_queries_without_relevant_items(self, seed: int) -> None:
        world = World(seed)
        relevant, args = lists_of(world.relevant), (world.cuts, world.counts, world.items)
        means = ranking_metrics(world.top, relevant, *args)
        kept = np.flatnonzero(relevant.lengths)
        fewer = TopK(world.top.positions[kept], world.top.scores[kept])
        again = ranking_metrics(fewer, lists_of([world.relevant[q] for q in kept]), *args)
        assert means == pytest.approx(again)

    def test_order_of_the_queries_does_not_matter(self, seed: int) -> None:
        world = World(seed)
        relevant, args = lists_of(world.relevant), (world.cuts, world.counts, world.items)
        order = np.random.default_rng(seed).permutation(len(world.relevant))
        mixed = TopK(world.top.positions[order], world.top.scores[order])
        means = ranking_metrics(world.top, relevant, *args)
        again = ranking_metrics(mixed, lists_of([world.relevant[q] for q in order]), *args)
        assert means == pytest.approx(again)

    def test_inputs_stay(self, seed: int) -> None:
        world = World(seed)
        relevant = lists_of(world.relevant)
        arrays: list[np.ndarray] = [world.top.positions, world.top.scores, world.counts]
        arrays += [relevant.offsets, relevant.values]
        before = [array.copy() for array in arrays]
        cuts = list(world.cuts)
        ranking_metrics(world.top, relevant, cuts, world.counts, world.items, profiles=relevant)
        for array, old in zip(arrays, before, strict=True):
            np.testing.assert_array_equal(array, old)
        assert cuts == world.cuts


class TestBlocks:
    @pytest.mark.parametrize("size", [1, 26 * 3, 8 * 30 * 7])
    def test_scratch_memory_does_not_matter(
        self, size: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world = World(0)
        args = (world.top, lists_of(world.relevant), world.cuts, world.counts, world.items)
        whole = per_query(*args)
        monkeypatch.setattr("towermill.models.metrics.catalogue.base._BLOCK", size)
        for name, values in per_query(*args).items():
            np.testing.assert_array_equal(values, whole[name])


@pytest.mark.parametrize("seed", range(4))
class TestAgainstScikitLearn:
    def world(self, seed: int) -> tuple[np.ndarray, np.ndarray, TopK, Lists]:
        rng = np.random.default_rng(seed)
        scores = rng.permutation(30 * 20).reshape(30, 20).astype(float)  # no ties
        truth = rng.random((30, 20)) < 0.3
        truth[:, 0] |= ~truth.any(axis=1)
        rows, positions = np.nonzero(truth)
        relevant = Lists.from_pairs(rows, positions, 30)

        def score_block(start: int, stop: int) -> np.ndarray:
            return scores[start:stop]

        return scores, truth, top_k(score_block, 30, 20, 20), relevant

    @pytest.mark.parametrize("k", [1, 5, 20])
    def test_ndcg(self, seed: int, k: int) -> None:
        scores, truth, top, relevant = self.world(seed)
        got = ranking_metrics(top, relevant, [k], None, 20)[f"ndcg@{k}"]
        assert got == pytest.approx(ndcg_score(truth, scores, k=k))

    def test_average_precision_of_the_whole_catalogue(self, seed: int) -> None:
        scores, truth, top, relevant = self.world(seed)
        got = ranking_metrics(top, relevant, [20], None, 20)["map@20"]
        assert got == pytest.approx(label_ranking_average_precision_score(truth, scores))

    @pytest.mark.parametrize("k", [1, 5, 20])
    def test_precision_and_recall(self, seed: int, k: int) -> None:
        _, truth, top, relevant = self.world(seed)
        shown = np.zeros(truth.shape, bool)
        np.put_along_axis(shown, top.positions[:, :k], True, axis=1)
        got = ranking_metrics(top, relevant, [k], None, 20)
        assert got[f"precision@{k}"] == pytest.approx(
            precision_score(truth, shown, average="samples")
        )
        assert got[f"recall@{k}"] == pytest.approx(recall_score(truth, shown, average="samples"))


class TestErrors:
    top = top_of([[0, 1], [1, 2]])
    relevant = lists_of([{0}, {1}])

    @pytest.mark.parametrize("k", [[-3], [5, 0], [1.0], [True]])
    def test_bad_k(self, k: Any) -> None:
        with pytest.raises(TowermillError, match=f"`k` should be a positive .* k={k[-1]}"):
            ranking_metrics(self.top, self.relevant, k[-1:], None, 3)

    @pytest.mark.parametrize("k", [[], 10])
    def test_k_is_a_list(self, k: Any) -> None:
        with pytest.raises(TowermillError, match="should be a list of positive integers"):
            ranking_metrics(self.top, self.relevant, k, None, 3)

    def test_k_beyond_the_lists(self) -> None:
        with pytest.raises(TowermillError, match=r"`k` should be at most 2, .* Received: k=3"):
            ranking_metrics(self.top, self.relevant, [1, 3], None, 3)

    def test_relevant_for_other_queries(self) -> None:
        with pytest.raises(DataError, match=r"should have 2 queries\. Received: 1"):
            ranking_metrics(self.top, lists_of([{0}]), [1], None, 3)

    def test_relevant_beyond_the_catalogue(self) -> None:
        with pytest.raises(DataError, match="`relevant` should hold positions below"):
            ranking_metrics(self.top, lists_of([{0}, {3}]), [1], None, 3)

    def test_recommended_beyond_the_catalogue(self) -> None:
        with pytest.raises(DataError, match="`top` should hold positions from 0 to 1"):
            ranking_metrics(self.top, self.relevant, [1], None, 2)

    @pytest.mark.parametrize("counts", [[1, 2], [0, 0, 0], [1, -1, 2], [1, np.nan, 2]])
    def test_bad_counts(self, counts: list[float]) -> None:
        with pytest.raises(DataError, match=r"`item_counts` should be of shape \(3,\)"):
            ranking_metrics(self.top, self.relevant, [1], np.array(counts), 3)

    def test_profiles_of_other_queries(self) -> None:
        with pytest.raises(DataError, match="`profiles` should have 2 queries"):
            ranking_metrics(self.top, self.relevant, [1], [1, 1, 1], 3, profiles=lists_of([{0}]))

    def test_nothing_relevant(self) -> None:
        with pytest.raises(DataError, match="None of 2 queries has a relevant item"):
            ranking_metrics(self.top, lists_of([set(), set()]), [1], None, 3)

    def test_nothing_recommended(self) -> None:
        with pytest.raises(DataError, match="was recommended anything"):
            ranking_metrics(top_of([[-1], [0]]), lists_of([{1}, set()]), [1], None, 3)

    def test_an_item_twice(self) -> None:
        with pytest.raises(DataError, match="recommends an item twice"):
            ranking_metrics(top_of([[0, 0]]), lists_of([{0, 1}]), [2], None, 3)
