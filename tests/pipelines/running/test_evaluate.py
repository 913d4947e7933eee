"""``metrics.json`` of a trained tiny run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from towermill.errors import DataError
from towermill.pipelines import validate_recipe
from towermill.pipelines.stages.evaluate import evaluate
from towermill.runtime.device import Runtime


@pytest.fixture(scope="module")
def metrics(trained: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((trained.stages["evaluate"] / "metrics.json").read_text())
    return found


class TestFields:
    def test_all(self, metrics: Any) -> None:
        assert list(metrics) == [
            *("protocol", "split", "query", "filter_seen", "queries", "queries_in_all"),
            *("catalogue", "left_out", "metrics", "baselines", "segments"),
        ]
        assert metrics["protocol"] == "catalogue"
        assert metrics["split"] == "test"
        assert metrics["query"] == "user"
        assert metrics["filter_seen"] is True

    def test_metrics_stand_at_each_k_beside_the_baselines(self, metrics: Any) -> None:
        names = set(metrics["metrics"])
        assert {"recall@5", "recall@10", "ndcg@5", "ndcg@10", "mrr@10"} <= names
        assert set(metrics["baselines"]) == {"popularity", "random"}
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

    def test_nothing_to_rank(self, evaluated: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        from towermill.models.data.interactions import Processed

        queries = Processed.queries
        monkeypatch.setattr(Processed, "queries", lambda *a, **k: _none_of(queries(*a, **k)))
        with pytest.raises(DataError, match="should hold rows to rank"):
            evaluated()


def _none_of(queries: Any) -> Any:
    from dataclasses import replace

    return replace(queries, features=queries.features.head(0))
