"""The catalogue protocol, against a slow ranking."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from towermill.columns import ITEM_ID

from towermill.models.config import TwoTowerConfig
from towermill.models.build import build_model
from towermill.models.data import Processed
from towermill.models.evaluation import evaluate_baselines, evaluate_retriever, rank_catalogue


@pytest.fixture(scope="module")
def data(id_world: Path) -> Processed:
    return Processed(id_world)


def slow(data: Processed, scores: np.ndarray, k: int) -> dict[str, float]:
    """Rank the test split by a sorted frame a user; `scores` is (users, items) by encoded id."""
    earlier = pd.concat(data.scan(name).collect().to_pandas() for name in ("train", "valid"))
    test = data.scan("test").collect().to_pandas()
    found: dict[str, list[float]] = {"recall": [], "ndcg": [], "mrr": [], "hit_rate": []}
    for user, held in test.groupby("user_id"):
        ranked = pd.Series(scores[user - 3], index=data.items[ITEM_ID].to_numpy())
        ranked = ranked.drop(earlier[earlier.user_id == user].item_id.unique())
        best = ranked.sort_values(ascending=False).index[:k]
        hits = [item in set(held.item_id) for item in best]
        relevant = held.item_id.nunique()
        found["recall"].append(sum(hits) / relevant)
        gain = sum(hit / math.log2(rank + 2) for rank, hit in enumerate(hits))
        ideal = sum(1 / math.log2(rank + 2) for rank in range(min(k, relevant)))
        found["ndcg"].append(gain / ideal)
        found["mrr"].append(next((1 / (r + 1) for r, hit in enumerate(hits) if hit), 0.0))
        found["hit_rate"].append(float(any(hits)))
    return {f"{name}@{k}": float(np.mean(values)) for name, values in found.items()}


class TestCatalogueProtocol:
    @pytest.mark.parametrize("k", [1, 10, 200])
    def test_equals_a_slow_ranking(self, k: int, data: Processed) -> None:
        retriever = build_model(data, TwoTowerConfig(tower=(), embedding_dim=8), seed=3)
        queries = data.queries("test")
        metrics = evaluate_retriever(retriever, data, queries, (k,))
        users = retriever.embed_queries(data.users)
        scores = users.astype(np.float64) @ retriever.embed_items(data.items).T
        for name, value in slow(data, scores, k).items():
            assert metrics[name] == pytest.approx(value, abs=1e-9), name

    def test_constant_scores_get_about_random_not_popularity(self, tmp_path: Path) -> None:
        from worlds import group_world

        # Items of low rank are popular here: popularity beats chance by far.
        path = group_world(tmp_path, features=False)
        data = Processed(path)
        frame = data.scan("train").collect()
        weights = np.repeat(frame[ITEM_ID].to_numpy(), 1)
        assert len(weights) == frame.height
        queries = data.queries("test")
        constant = rank_catalogue(
            lambda start, stop: np.zeros((stop - start, 120)), data, queries, (10,)
        )
        chance = evaluate_baselines(data, queries, (10,), seed=0)["random"]
        assert constant["recall@10"] == pytest.approx(chance["recall@10"], abs=0.04)

    def test_baselines_are_reproducible_and_named(self, data: Processed) -> None:
        queries = data.queries("test")
        one = evaluate_baselines(data, queries, (10,), seed=1)
        assert one == evaluate_baselines(data, queries, (10,), seed=1)
        assert list(one) == ["popularity", "random"]
        assert one["random"] != evaluate_baselines(data, queries, (10,), seed=2)["random"]

    def test_validation_of_unseen_items_only(self, data: Processed) -> None:
        # Ranked by an oracle of the own group, all that is left of it is found.
        group = {}
        train = data.scan("train").collect()
        for split in ("valid", "test"):
            assert data.queries(split).repeated == 0
        assert train.height == 2400
        assert group == {}
