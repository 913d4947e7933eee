"""From the shown rows of a shop to the bundle of a ranker that predicts clicks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from towermill.pipelines import Bundle, run, validate_recipe
from towermill.pipelines.recipe.load import load_recipe

RECIPE: dict[str, Any] = {
    "name": "clicks",
    "source": {
        **{"kind": "synthetic", "layout": "aliccp", "users": 300, "items": 80},
        **{"interactions": 8000, "cold_items": 0.0},
    },
    "split": {"kind": "given"},
    "model": {"kind": "dcn", "embedding_dim": 8, "mlp": [16], "target": "click"},
    "train": {"epochs": 3, "batch_size": 256, "learning_rate": 0.01},
    "evaluate": {"k": [10], "max_queries": 50},
}


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def bundle(out: Path) -> Path:
    run(validate_recipe(RECIPE), out)
    return (out / "clicks" / "latest").resolve() / "bundle"


class TestClicks:
    def test_are_predicted(self, bundle: Path) -> None:
        metrics = json.loads((bundle / "manifest.json").read_text())["metrics"]
        assert metrics["protocol"] == "catalogue"
        assert metrics["queries"] == 50
        clicks = metrics["targets"]["click"]
        assert clicks["rows"] == 800
        assert clicks["auc"] > 0.8
        assert clicks["gauc"] > 0.8
        assert clicks["log_loss"] < clicks["log_loss_of_rate"] - 0.1
        assert clicks["calibration"] == pytest.approx(1, abs=0.2)
        assert clicks["ece"] < 0.1

    def test_training_was_stopped_by_their_auc(self, bundle: Path) -> None:
        history = json.loads((bundle.parent / "train" / "history.json").read_text())["history"]
        assert [set(r["metrics"]) >= {"auc", "gauc", "log_loss"} for r in history] == [True] * 3

    def test_all_features_are_inputs(self, bundle: Path) -> None:
        manifest = json.loads((bundle / "manifest.json").read_text())
        assert {"user_id", "user_group", "user_brands"} <= set(manifest["query_features"])
        assert {"item_id", "item_category", "item_shop"} <= set(manifest["item_features"])
        assert "click" not in {**manifest["query_features"], **manifest["item_features"]}

    def test_are_served_from_raw_features(self, bundle: Path) -> None:
        opened = Bundle.open(bundle)
        users = pl.read_parquet(bundle / "user_features.parquet")
        user = users["raw_user_id"][5]
        known = opened.recommend(user, 80, filter_seen=False)
        scores = [item["score"] for item in known.items]
        assert len(scores) == 80
        assert scores == sorted(scores, reverse=True)
        assert np.std(scores) > 0.1
        raw = {name: users[f"raw_{name}"][5] for name in opened.manifest.query_features}
        found = opened.recommend(features=raw, k=80, filter_seen=False)
        assert [i["item_id"] for i in found.items] == [i["item_id"] for i in known.items]
        np.testing.assert_allclose([i["score"] for i in found.items], scores, atol=1e-5)
        unknown = opened.recommend("nobody", 80)
        assert not unknown.known
        assert np.isfinite([item["score"] for item in unknown.items]).all()


class TestSeveralTargets:
    @pytest.mark.parametrize("kind", ["mmoe", "ple"])
    def test_each_is_reported(self, kind: str, bundle: Path, out: Path) -> None:
        """On what `bundle` has processed."""
        model = {
            **{"kind": kind, "embedding_dim": 8, "mlp": [16], "tower": [8]},
            **{"targets": ["click", "conversion"], "entire_space": True},
        }
        run(validate_recipe({**RECIPE, "model": model}), out)
        manifest = json.loads((out / "clicks" / "latest/bundle/manifest.json").read_text())
        targets = manifest["metrics"]["targets"]
        assert list(targets) == ["click", "conversion"]
        assert targets["click"]["auc"] > 0.8
        assert targets["conversion"]["auc"] > 0.7
        assert targets["conversion"]["rate"] < targets["click"]["rate"]
        assert len(Bundle.open(out / "clicks" / "latest" / "bundle").recommend(5, 10).items) == 10


class TestTrees:
    def test_each_target_is_reported(self, bundle: Path, out: Path) -> None:
        """Gradient-boosted trees, on what `bundle` has processed, with its list of brands."""
        pytest.importorskip("xgboost")
        targets = ["click", "conversion"]
        model = {"kind": "xgboost", "targets": targets, "trees": 50, "list_values": 4}
        run(validate_recipe({**RECIPE, "model": model}), out)
        found = Bundle.open(out / "clicks" / "latest" / "bundle")
        metrics = found.manifest.metrics["targets"]
        assert list(metrics) == targets
        assert metrics["click"]["auc"] > 0.8
        assert metrics["conversion"]["auc"] > 0.7
        scores = [item["score"] for item in found.recommend(5, 80, filter_seen=False).items]
        assert len(scores) == 80
        assert np.std(scores) > 0.1


class TestListsAndContext:
    def test_bundle_ranks(self, tmp_path: Path) -> None:
        logs = tmp_path / "logs.csv"
        rng = np.random.default_rng(0)
        rows = 3000
        users, items = rng.integers(0, 60, rows), rng.integers(0, 30, rows)
        pl.DataFrame(
            {
                "user": users,
                "item": items,
                "at": 1_700_000_000 + np.sort(rng.integers(0, 10**7, rows)),
                "bought": ((users + items) % 3 == 0).astype(int),
            }
        ).write_csv(logs)
        people = tmp_path / "users.csv"
        likes = ["|".join(map(str, range(u % 4))) or None for u in range(60)]
        pl.DataFrame({"user": range(60), "likes": likes}).write_csv(people)
        recipe = {
            "name": "lists",
            "source": {
                "kind": "table",
                "interactions": {
                    "path": str(logs),
                    "user_id": "user",
                    "item_id": "item",
                    "timestamp": "at",
                    "features": {"hour": "hour"},
                    "signals": {"bought": "bought"},
                },
                "users": {
                    "path": str(people),
                    "user_id": "user",
                    "features": {"likes": {"kind": "list"}},
                },
            },
            "model": {"kind": "dlrm", "embedding_dim": 4, "mlp": [8], "target": "bought"},
            "train": {"epochs": 1, "batch_size": 256},
        }
        run(validate_recipe(recipe), tmp_path / "runs")
        opened = Bundle.open(tmp_path / "runs" / "lists" / "latest" / "bundle")
        assert set(opened.manifest.query_features) == {"user_id", "likes", "hour"}
        gates = json.loads((opened.path / "manifest.json").read_text())["gates"]
        assert gates["same_top_k"]["users"] == 60


class TestRecipe:
    def test_ali_ccp_predicts_clicks(self) -> None:
        recipe = load_recipe("ali-ccp-rank", ["source.path=somewhere"])
        assert recipe.model.target_names == ("click",)
        assert recipe.model.contract == "ranker"
