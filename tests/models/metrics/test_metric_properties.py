"""Metrics of any lists and impressions: bounds, permutations, and slow formulas."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from towermill.models.data.lists import Lists, TopK
from towermill.models.metrics.catalogue.ranking import per_query, ranking_metrics
from towermill.models.metrics.impressions.ranking import per_impression

FEW = settings(max_examples=150, deadline=None, derandomize=True)
CATALOGUE = 12
ACCURACY = ("recall", "precision", "hit_rate", "ndcg", "mrr", "map")
CUTS = (1, 3, 6)

#: Ranked items of a query, and its relevant ones.
queries = st.lists(
    st.tuples(
        st.lists(st.integers(0, CATALOGUE - 1), unique=True, max_size=6),
        st.sets(st.integers(0, CATALOGUE - 1), max_size=8),
    ),
    min_size=1,
    max_size=6,
)
#: Scores with ties, and whether each entry was clicked.
entries = st.lists(st.tuples(st.integers(-2, 2), st.booleans()), min_size=1, max_size=6)


def catalogue(drawn: list[Any], renamed: Any = None) -> tuple[TopK, Lists]:
    """Return the lists, the items under other numbers if so asked."""
    name = np.arange(CATALOGUE) if renamed is None else np.array(renamed)
    top = np.full((len(drawn), 6), -1, np.int32)
    pairs = []
    for row, (ranked, relevant) in enumerate(drawn):
        top[row, : len(ranked)] = name[ranked] if ranked else []
        pairs += [(row, int(name[item])) for item in relevant]
    rows, positions = zip(*pairs, strict=True) if pairs else ((), ())
    scores = np.where(top < 0, -np.inf, 0.0).astype(np.float32)
    return TopK(top, scores), Lists.from_pairs(rows, positions, len(drawn))


def slow(ranked: list[int], relevant: set[int], k: int) -> dict[str, float]:
    places = [place for place, item in enumerate(ranked[:k], 1) if item in relevant]
    best = min(len(relevant), k)
    return {
        "recall": len(places) / len(relevant),
        "precision": len(places) / k,
        "hit_rate": float(bool(places)),
        "ndcg": sum(1 / math.log2(p + 1) for p in places)
        / sum(1 / math.log2(p + 1) for p in range(1, best + 1)),
        "mrr": 1 / places[0] if places else 0.0,
        "map": sum(n / p for n, p in enumerate(places, 1)) / best,
    }


class TestCatalogue:
    @given(queries)
    @FEW
    def test_slow_formula_and_bounds(self, drawn: list[Any]) -> None:
        found = per_query(*catalogue(drawn), CUTS, np.ones(CATALOGUE), CATALOGUE)
        for row, (ranked, relevant) in enumerate(drawn):
            for cut in CUTS:
                got = {name: found[f"{name}@{cut}"][row] for name in ACCURACY}
                if not relevant:
                    assert all(np.isnan(value) for value in got.values())
                    continue
                assert got == pytest.approx(slow(ranked, relevant, cut))
                assert all(0 <= value <= 1 + 1e-12 for value in got.values())

    @given(queries)
    @FEW
    def test_more_places_never_find_less(self, drawn: list[Any]) -> None:
        found = per_query(*catalogue(drawn), CUTS, None, CATALOGUE)
        for name in ("recall", "hit_rate", "mrr"):
            for few, many in itertools.pairwise(CUTS):
                assert not (found[f"{name}@{few}"] > found[f"{name}@{many}"] + 1e-12).any()

    @given(queries, st.permutations(range(CATALOGUE)), st.randoms(use_true_random=False))
    @FEW
    def test_names_of_items_and_order_of_queries_do_not_count(
        self, drawn: list[Any], renamed: list[int], random: Any
    ) -> None:
        counts = np.arange(CATALOGUE) + 1.0
        again = drawn.copy()
        random.shuffle(again)
        if not any(relevant and ranked for ranked, relevant in drawn):
            return
        moved = np.empty(CATALOGUE)
        moved[renamed] = counts
        one = ranking_metrics(*catalogue(drawn), CUTS, counts, CATALOGUE)
        other = ranking_metrics(*catalogue(again, renamed), CUTS, moved, CATALOGUE)
        assert one == pytest.approx(other, nan_ok=True)
        assert all(0 <= one[f"coverage@{cut}"] <= 1 for cut in CUTS)


def flat(impressions: list[Any]) -> tuple[np.ndarray, ...]:
    scores = np.array([score for own in impressions for score, _ in own], np.float64)
    labels = np.array([label for own in impressions for _, label in own], bool)
    return scores, labels, np.cumsum([0, *map(len, impressions)])


def slow_impression(own: list[Any], k: int) -> dict[str, float]:
    """The mean over every order of the entries that agrees with the scores."""
    clicks = sum(label for _, label in own)
    found = []
    for order in itertools.permutations(own):
        if all(a[0] >= b[0] for a, b in itertools.pairwise(order)):
            ranks = [rank for rank, (_, label) in enumerate(order, 1) if label]
            ideal = sum(1 / math.log2(p + 1) for p in range(1, min(clicks, k) + 1))
            gain = sum(1 / math.log2(rank + 1) for rank in ranks if rank <= k)
            found.append((sum(1 / r for r in ranks) / clicks, gain / ideal, min(ranks) <= k))
    mrr, ndcg, hit_rate = np.mean(np.array(found, float), axis=0)
    return {"mrr": mrr, f"ndcg@{k}": ndcg, f"hit_rate@{k}": hit_rate}


class TestImpressions:
    @given(st.lists(entries, min_size=1, max_size=4))
    @settings(FEW, max_examples=60)
    def test_slow_formula_and_bounds(self, impressions: list[Any]) -> None:
        found = per_impression(*flat(impressions), CUTS)
        for row, own in enumerate(impressions):
            clicked = [score for score, label in own if label]
            others = [score for score, label in own if not label]
            got = {name: float(values[row]) for name, values in found.items()}
            if not clicked:
                assert all(np.isnan(value) for value in got.values())
                continue
            wins = [(a > b) + (a == b) / 2 for a in clicked for b in others]
            expected = {"auc": float(np.mean(wins)) if wins else math.nan}
            for cut in CUTS:
                expected |= slow_impression(own, cut)
            assert got == pytest.approx(expected, nan_ok=True)
            assert all(-1e-12 <= v <= 1 + 1e-12 for v in got.values() if not math.isnan(v))

    @given(st.lists(entries, min_size=1, max_size=5), st.randoms(use_true_random=False))
    @FEW
    def test_order_of_entries_and_impressions_does_not_count(
        self, impressions: list[Any], random: Any
    ) -> None:
        places = list(range(len(impressions)))
        random.shuffle(places)
        again = [random.sample(impressions[place], len(impressions[place])) for place in places]
        one, other = per_impression(*flat(impressions), CUTS), per_impression(*flat(again), CUTS)
        for name, values in one.items():
            np.testing.assert_allclose(values[places], other[name], err_msg=name)

    @given(st.lists(entries, min_size=1, max_size=5))
    @FEW
    def test_only_the_order_of_scores_counts(self, impressions: list[Any]) -> None:
        scores, labels, offsets = flat(impressions)
        one = per_impression(scores, labels, offsets, CUTS)
        other = per_impression(np.exp(scores) * 3 - 1, labels, offsets, CUTS)
        for name, values in one.items():
            np.testing.assert_allclose(values, other[name], err_msg=name)
