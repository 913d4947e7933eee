"""``metrics.json`` of a trained tiny run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from towermill.errors import DataError, RecipeError
from towermill.pipelines import validate_recipe
from towermill.pipelines.stages.evaluate import _compare, evaluate
from towermill.runtime.device import Runtime


@pytest.fixture(scope="module")
def metrics(trained: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((trained.stages["evaluate"] / "metrics.json").read_text())
    return found


class TestFields:
    def test_all(self, metrics: Any) -> None:
        assert list(metrics) == [
            *("protocol", "split", "query", "filter_seen", "queries", "queries_in_all"),
            *("catalogue", "left_out", "metrics", "baselines", "compared", "slices", "segments"),
        ]
        assert metrics["protocol"] == "catalogue"
        assert metrics["split"] == "test"
        assert metrics["query"] == "user"
        assert metrics["filter_seen"] is True

    def test_metrics_stand_at_each_k_beside_the_baselines(self, metrics: Any) -> None:
        names = set(metrics["metrics"])
        assert {"recall@5", "recall@10", "ndcg@5", "ndcg@10", "mrr@10"} <= names
        assert list(metrics["baselines"]) == ["popularity", "random", "ease"]
        for found in metrics["baselines"].values():
            assert set(found) == names
        for name, value in metrics["metrics"].items():
            if name.partition("@")[0] in ("recall", "precision", "ndcg", "mrr", "map", "hit_rate"):
                assert 0 <= value <= 1

    def test_counts_agree_with_the_processed_data(self, trained: Any, metrics: Any) -> None:
        processed = trained.stages["process"]
        test = pl.read_parquet(processed / "test" / "*.parquet")
        assert metrics["catalogue"] == pl.read_parquet(processed / "items.parquet").height
        assert metrics["left_out"]["cold_items"] == test["cold_item"].sum() > 0

    def test_paired_differences_are_those_of_the_means(self, metrics: Any) -> None:
        compared, own = metrics["compared"], metrics["metrics"]["ndcg@5"]
        assert compared["metric"] == "ndcg@5"
        assert list(compared["baselines"]) == list(metrics["baselines"])
        for name, found in compared["baselines"].items():
            low, high = found["interval"]
            assert low <= found["difference"] <= high
            theirs = metrics["baselines"][name]["ndcg@5"]
            assert found["difference"] == pytest.approx(own - theirs)


class TestSegments:
    def test_add_up_to_all_queries(self, metrics: Any) -> None:
        segments = metrics["segments"]
        assert set(segments) == {"warm", "cold_user"}
        assert sum(s["queries"] for s in segments.values()) == metrics["queries"]

    def test_recall_is_their_weighted_mean(self, metrics: Any) -> None:
        segments = metrics["segments"].values()
        total = sum(s["queries"] * s["metrics"]["recall@10"] for s in segments)
        assert total / metrics["queries"] == pytest.approx(metrics["metrics"]["recall@10"])


class TestSettings:
    @pytest.fixture
    def evaluated(self, trained: Any, tmp_path: Path) -> Callable[..., dict[str, Any]]:
        def evaluated(**changes: Any) -> dict[str, Any]:
            content = trained.recipe.model_dump(mode="json")
            content["evaluate"] |= changes
            content["split"]["cold"] = "keep"
            evaluate(validate_recipe(content), trained.stages, tmp_path, Runtime())
            found: dict[str, Any] = json.loads((tmp_path / "metrics.json").read_text())
            return found

        return evaluated

    def test_a_query_a_row(self, evaluated: Any, trained: Any) -> None:
        found = evaluated(query="interaction", filter_seen=False, k=[3])
        test = pl.read_parquet(trained.stages["process"] / "test" / "*.parquet")
        assert found["queries"] == test.height - found["left_out"]["cold_items"]
        assert found["left_out"]["seen_before"] == 0
        assert "segments" not in found
        assert {name.partition("@")[2] for name in found["metrics"]} == {"3"}

    def test_repeats_itself(self, evaluated: Any, metrics: Any) -> None:
        assert evaluated()["metrics"] == metrics["metrics"]

    def test_baselines_are_those_that_are_named(self, evaluated: Any) -> None:
        assert list(evaluated(baselines=["item_knn"])["baselines"]) == ["item_knn"]
        none = evaluated(baselines=[])
        assert none["baselines"] == none["compared"]["baselines"] == {}

    def test_a_baseline_that_is_unknown(self, evaluated: Any) -> None:
        with pytest.raises(RecipeError, match=r"No baseline 'eas'.*ease"):
            evaluated(baselines=["eas"])

    def test_warns_of_every_baseline_that_is_better(self, caplog: pytest.LogCaptureFixture) -> None:
        result = {
            "metrics": {"recall@5": 0.9, "ndcg@5": 0.2},
            "baselines": {
                "popularity": {"ndcg@5": 0.2},
                "random": {"ndcg@5": 0.1},
                "ease": {"ndcg@5": 0.3},
            },
        }
        _compare(result, "ndcg@", "two_tower")
        (said,) = caplog.messages
        assert "does not beat popularity and ease: ndcg@5 is 0.2000" in said
        assert "popularity's 0.2000, ease's 0.3000" in said
        assert "model: {kind: ease}" in said
        caplog.clear()
        result["metrics"]["ndcg@5"] = 0.25
        _compare(result, "ndcg@", "ease")
        assert not caplog.messages

    def test_nothing_to_rank(self, evaluated: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        from towermill.models.data.interactions import Processed

        queries = Processed.queries
        monkeypatch.setattr(Processed, "queries", lambda *a, **k: _none_of(queries(*a, **k)))
        with pytest.raises(DataError, match="should hold rows to rank"):
            evaluated()


def _none_of(queries: Any) -> Any:
    from dataclasses import replace

    return replace(queries, features=queries.features.head(0))
