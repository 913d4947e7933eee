"""The impression protocol, against a loop over impressions and by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from formulas import randomise
from news_worlds import Row, articles, impressions, write_impressions

from towermill.errors import DataError
from towermill.models.build import build_model
from towermill.models.configs.content import ContentConfig
from towermill.models.configs.news.nrms import NRMSConfig
from towermill.models.data.impressions import AGE, ImpressionData
from towermill.models.evaluation import scoring as slate_scoring
from towermill.models.evaluation.impressions import (
    evaluate_slates,
    readers_of,
    report_impressions,
)
from towermill.models.evaluation.scoring import slate_scorer


class TestSlateScorer:
    @pytest.fixture(scope="class")
    @classmethod
    def nrms(cls, news_world: Path) -> tuple[Any, ImpressionData]:
        data = ImpressionData(news_world)
        config = NRMSConfig(heads=2, head_dim=4, attention_dim=4, age=True)
        retriever = build_model(data, config)
        randomise(retriever.model)
        return retriever, data

    @pytest.mark.parametrize("block", [1, 64, 1 << 16])
    def test_equals_a_loop(
        self, block: int, nrms: tuple[Any, ImpressionData], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(slate_scoring, "_BLOCK", block)
        retriever, data = nrms
        slates = data.slates("test")
        found = slate_scorer(retriever, data)(slates)
        items = retriever.embed_items(data.items.with_columns(pl.lit(0, pl.Int32).alias(AGE)))
        added = retriever.item_tower.ages.embeddings.numpy()
        expected = []
        ages = data.ages(slates)
        assert len(set(ages.tolist())) > 5
        assert 0 in ages
        for i in range(len(slates)):
            reader = retriever.embed_queries(
                data.query_frame(slates.users[i : i + 1], slates.histories[i : i + 1])
            )[0]
            for entry in range(slates.offsets[i], slates.offsets[i + 1]):
                vector = items[slates.items[entry] - 3]
                vector = vector + added[ages[entry]] * (ages[entry] > 0)
                expected.append(np.dot(reader, vector))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
        assert found.dtype == np.float32

    def test_of_nothing(self, nrms: tuple[Any, ImpressionData]) -> None:
        retriever, data = nrms
        assert slate_scorer(retriever, data)(data.slates("test", 0, 0)).shape == (0,)


#: Article 3 is clicked most in training, then 4, then 5; 6 never.
TRAIN: list[Row] = [
    *[(3, 1, h, [3, 4, 5, 6], [3]) for h in range(4)],
    *[(4, 1, h, [3, 4, 5, 6], [4]) for h in range(2)],
    (5, 1, 5, [5, 6], [5]),
]
TEST: list[Row] = [
    *[(3 + i % 3, 1 + i % 2, 10 + i / 9, [6, 5, 4, 3], [3]) for i in range(30)],
    (2, 0, 10, [4, 6, 5], [4]),
    (3, 1, 11, [3, 4], []),  # without a click
    (3, 1, 11, [], []),
    (3, 1, 11, [3, 4], [4, 3]),  # all clicked
]


class TestReport:
    @pytest.fixture(scope="class")
    @classmethod
    def data(cls, tmp_path_factory: pytest.TempPathFactory) -> ImpressionData:
        # A reader of article 6 is near to article 3, and one of 5 to 4.
        vectors = [[1, 0], [0, 1], [0, 2], [3, 0]]
        items = articles([[3]] * 4, published=[9, 3, 2, None], vectors=vectors)
        splits = {"train": impressions(TRAIN), "test": impressions(TEST)}
        path = tmp_path_factory.mktemp("report")
        return ImpressionData(write_impressions(path, splits, items, [[6], [5]]))

    @pytest.fixture(scope="class")
    @classmethod
    def report(cls, data: ImpressionData) -> dict[str, Any]:
        retriever: Any = build_model(data, ContentConfig())
        return report_impressions(retriever, data, data.slates("test"), (1, 5), 0)

    def test_counts(self, report: dict[str, Any]) -> None:
        assert (report["queries"], report["queries_in_all"]) == (31, 34)
        assert report["left_out"] == {"without_click": 2, "all_clicked": 1}

    def test_keys(self, report: dict[str, Any]) -> None:
        ranking = {"auc", "mrr", "ndcg@1", "ndcg@5", "hit_rate@1", "hit_rate@5"}
        beyond = {f"{n}@{k}" for n in ("coverage", "novelty", "diversity") for k in (1, 5)}
        assert report.keys() == {
            "queries", "queries_in_all", "left_out", "metrics", "intervals", "baselines", "slices",
            "entries", "compared",
        }  # fmt: skip
        assert report["compared"]["metric"] == "auc"
        for name, found in report["compared"]["baselines"].items():
            difference = report["metrics"]["auc"] - report["baselines"][name]["auc"]
            assert found["difference"] == pytest.approx(difference)
        assert report["baselines"].keys() == {"popularity", "recency", "random"}
        for found in (report["metrics"], *report["baselines"].values()):
            # One article has no pair, and so no diversity.
            assert found.keys() == ranking | beyond - {"diversity@1"}
        assert report["intervals"].keys() == ranking
        assert set(report["slices"]) == {
            "user:known", "user:cold", "history:none", "history:1-4", "age:2-6h", "age:<2h",
            "age:6-24h", "click:known",
        }  # fmt: skip

    def test_planted_popularity_and_recency(self, report: dict[str, Any]) -> None:
        baselines = report["baselines"]
        assert baselines["popularity"]["auc"] == 1
        # Article 3 came out last of all; beside 4 stands 6, of which it is not known, and 5.
        assert baselines["recency"]["auc"] == 1
        assert 0.3 < baselines["random"]["auc"] < 0.7

    def test_model_by_hand(self, report: dict[str, Any]) -> None:
        # Readers of 6 (15 of them) score 3 and 6 alike and first: AUC (2 + 1/2) / 3. Readers of 5
        # score them alike and last: (1/2) / 3. A reader of nothing ties all: 1/2.
        expected = (15 * 2.5 / 3 + 15 * 0.5 / 3 + 0.5) / 31
        assert report["metrics"]["auc"] == pytest.approx(expected)
        assert report["slices"]["user:cold"]["metrics"]["auc"] == pytest.approx(0.5)
        assert report["slices"]["user:cold"]["impressions"] == 1
        low, high = report["intervals"]["auc"]
        assert low <= expected <= high

    def test_validation_has_the_same_metrics(
        self, data: ImpressionData, report: dict[str, Any]
    ) -> None:
        slates = data.slates("test")
        retriever: Any = build_model(data, ContentConfig())
        found = evaluate_slates(retriever, data, slates.where(slates.rankable), (1, 5))
        assert found == {name: report["metrics"][name] for name in found}

    def test_strangers_are_users_of_their_own(self, data: ImpressionData, tmp_path: Path) -> None:
        """They share the id 2, and drawn as one user would have no interval, or a wide one."""
        rows: list[Row] = [
            (5, 1, 1, [3, 4], [3]),
            (5, 2, 1, [3, 4], [3]),
            (2, 1, 1, [3, 4], [3]),
            (2, 2, 1, [3, 4], [4]),
            (2, 2, 2, [3, 4], [3]),
            (2, 0, 1, [3, 4], [3]),
            (2, 0, 1, [3, 4], [4]),
        ]
        splits = {"train": impressions(TRAIN), "test": impressions(rows)}
        items = data.items.drop(AGE)
        world = ImpressionData(write_impressions(tmp_path, splits, items, [[6], [5]]))
        slates = world.slates("test")
        readers = readers_of(slates)
        assert len(set(readers.tolist())) == 5
        assert readers[0] == readers[1] == 5
        assert readers[3] == readers[4] != readers[2]
        assert readers[5] != readers[6]
        retriever: Any = build_model(world, ContentConfig())
        strangers = slates.where(slates.users == 2)
        assert report_impressions(retriever, world, strangers, (1,), 0)["intervals"].keys() == {
            "auc", "mrr", "ndcg@1", "hit_rate@1",
        }  # fmt: skip

    def test_catalogue_is_encoded_once(
        self, data: ImpressionData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        items = data.items.drop(AGE, "vector")
        splits = {"train": impressions(TRAIN), "test": impressions(TEST)}
        world = ImpressionData(write_impressions(tmp_path, splits, items, [[6], [5]]))
        config = NRMSConfig(heads=2, head_dim=4, attention_dim=4)
        retriever: Any = build_model(world, config)
        encoded, encode = [], retriever.embed_items
        monkeypatch.setattr(retriever, "embed_items", lambda t: encoded.append(t) or encode(t))
        report_impressions(retriever, world, world.slates("test"), (1,), 0)
        assert len(encoded) == 1

    def test_nothing_to_rank(self, data: ImpressionData) -> None:
        retriever: Any = build_model(data, ContentConfig())
        with pytest.raises(DataError):
            evaluate_slates(retriever, data, data.slates("test", 31), (5,))
