from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from towermill.errors import DataError, TowermillError
from towermill.models.data.lists import Lists
from towermill.models.evaluation.baselines import popularity_scores, random_scores
from towermill.models.evaluation.top_k import top_k
from towermill.models.metrics.catalogue.ranking import ranking_metrics


class TestPopularityScores:
    def test_same_for_every_query(self) -> None:
        counts = np.array([3, 9, 1, 9])
        scores = popularity_scores(counts)
        np.testing.assert_array_equal(scores(2, 4), [counts, counts])
        top = top_k(scores, 3, 4, 3, Lists.from_pairs([1], [1], 3), block=2)
        assert top.positions.tolist() == [[1, 3, 0], [3, 0, 2], [1, 3, 0]]
        assert counts.tolist() == [3, 9, 1, 9]

    def test_later_changes_of_the_counts_do_not_reach_it(self) -> None:
        counts = np.array([1.0, 2.0])
        scores = popularity_scores(counts)
        counts[0] = 5
        np.testing.assert_array_equal(scores(0, 1), [[1, 2]])

    def test_travels_to_a_worker(self) -> None:
        scores = pickle.loads(pickle.dumps(popularity_scores([1, 2])))
        np.testing.assert_array_equal(scores(0, 1), [[1, 2]])

    @pytest.mark.parametrize("counts", [[[1, 2]], [], ["a"], 3])
    def test_bad_counts(self, counts: Any) -> None:
        with pytest.raises(DataError, match="`item_counts` should be numbers of shape"):
            popularity_scores(counts)


class TestRandomScores:
    @pytest.mark.parametrize("catalogue", [1, 2, 3, 4, 5, 17, 100])
    def test_blocks_do_not_matter(self, catalogue: int) -> None:
        scores = random_scores(7, catalogue)
        whole = scores(0, 60)
        assert whole.shape == (60, catalogue)
        for size in (1, 7, 32):
            parts = [scores(start, min(start + size, 60)) for start in range(0, 60, size)]
            np.testing.assert_array_equal(np.concatenate(parts), whole)

    def test_seed_decides(self) -> None:
        np.testing.assert_array_equal(random_scores(1, 9)(3, 5), random_scores(1, 9)(3, 5))
        assert not np.isin(random_scores(1, 9)(3, 5), random_scores(2, 9)(3, 5)).any()

    def test_uniform_and_unlike_from_query_to_query(self) -> None:
        drawn = random_scores(0, 101)(0, 2000)
        assert len(np.unique(drawn)) == drawn.size
        assert drawn.min() >= 0
        assert drawn.max() < 1
        counts = np.histogram(drawn, bins=20, range=(0, 1))[0]
        expected = drawn.size / 20
        assert ((counts - expected) ** 2 / expected).sum() < 43.8  # χ², 19 degrees, p = 0.001
        assert abs(np.corrcoef(drawn[:-1].ravel(), drawn[1:].ravel())[0, 1]) < 0.01

    def test_recall_is_that_of_chance(self) -> None:
        relevant = Lists.from_pairs(np.arange(4000), np.arange(4000) % 50, 4000)
        top = top_k(random_scores(3, 50), 4000, 50, 10)
        recall = ranking_metrics(top, relevant, [10], None, 50)["recall@10"]
        assert recall == pytest.approx(10 / 50, abs=4 * (0.2 * 0.8 / 4000) ** 0.5)

    def test_travels_to_a_worker(self) -> None:
        scores = random_scores(4, 6)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(scores))(2, 4), scores(2, 4))

    @pytest.mark.parametrize(("seed", "catalogue"), [(-1, 5), (1.5, 5), (1, 0), (True, 5)])
    def test_bad_arguments(self, seed: Any, catalogue: int) -> None:
        with pytest.raises(TowermillError, match=r"`(seed|catalogue)` should be an? "):
            random_scores(seed, catalogue)
