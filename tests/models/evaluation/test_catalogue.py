"""The catalogue protocol, against a slow ranking."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from merlin.schema import Tags
from worlds import evaluate_baselines, write_processed

from towermill.columns import ITEM_ID, USER_ID
from towermill.models.build import build_model
from towermill.models.configs.two_tower import TwoTowerConfig
from towermill.models.data.interactions import Processed
from towermill.models.evaluation.catalogue import (
    evaluate_catalogue,
    rank_catalogue,
)


@pytest.fixture(scope="module")
def data(id_world: Path) -> Processed:
    return Processed(id_world)


def slow(data: Processed, scores: np.ndarray, k: int) -> dict[str, float]:
    """Rank the test split by a sorted frame a user; `scores` is (users, items) by encoded id."""
    earlier = pd.concat(data.scan(name).collect().to_pandas() for name in ("train", "validation"))
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
        metrics = evaluate_catalogue(retriever, data, queries, (k,))
        users = retriever.embed_queries(data.users)
        scores = users.astype(np.float64) @ retriever.embed_items(data.items).T
        for name, value in slow(data, scores, k).items():
            assert metrics[name] == pytest.approx(value, abs=1e-9), name

    def test_constant_scores_get_about_random_not_popularity(self, tmp_path: Path) -> None:
        # Item of rank r is met in proportion to 1/r; encoded ids are those ranks.
        rng = np.random.default_rng(0)
        share = 1 / np.arange(1, 101)
        splits = {
            name: pl.DataFrame(
                {
                    USER_ID: np.repeat(np.arange(300, dtype=np.int32) + 3, each),
                    ITEM_ID: rng.choice(100, 300 * each, p=share / share.sum()).astype(np.int32)
                    + 3,
                },
                schema={USER_ID: pl.Int32, ITEM_ID: pl.Int32},
            )
            for name, each in (("train", 10), ("test", 3))
        }
        items = pl.DataFrame({ITEM_ID: range(3, 103)}, schema={ITEM_ID: pl.Int32})
        sides = {USER_ID: Tags.USER, ITEM_ID: Tags.ITEM}
        data = Processed(write_processed(tmp_path / "p", splits, items, sides))
        queries = data.queries("test", filter_seen=False)

        def constant(start: int, stop: int) -> np.ndarray:
            return np.zeros((stop - start, 100))

        found = rank_catalogue(constant, data, queries, (10,))["recall@10"]
        baselines = evaluate_baselines(data, queries, (10,), seed=0)
        assert baselines["popularity"]["recall@10"] > 0.45
        assert baselines["random"]["recall@10"] == pytest.approx(0.1, abs=0.03)
        assert found == pytest.approx(0.1, abs=0.1)

    def test_baselines_are_reproducible_and_named(self, data: Processed) -> None:
        queries = data.queries("test")
        one = evaluate_baselines(data, queries, (10,), seed=1)
        assert one == evaluate_baselines(data, queries, (10,), seed=1)
        assert list(one) == ["popularity", "random"]
        assert one["random"] != evaluate_baselines(data, queries, (10,), seed=2)["random"]
