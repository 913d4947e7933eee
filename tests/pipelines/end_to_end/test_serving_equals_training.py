"""Ten items for each of 1,000 users, by all four that serve them: the same ids in one order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from stub import Repository

from towermill.columns import FIRST_ID
from towermill.models.data.lists import Lists
from towermill.models.evaluation.top_k import dot_product_scores, top_k
from towermill.pipelines import Bundle, Query
from towermill.pipelines.server.app import create_app
from towermill.pipelines.server.metrics import Metrics
from towermill.pipelines.server.service.holder import Holder
from towermill.pipelines.server.settings import Settings
from towermill.pipelines.triton.repository import write_model_repository

USERS, K = 1000, 10
#: Queries in a call.
TOGETHER = 50

WORLDS: dict[str, dict[str, Any]] = {
    "two_tower": {
        "name": "thousand",
        "source": {"kind": "synthetic", "users": 1100, "items": 200, "interactions": 20_000},
        "model": {"tower": [16]},
        "train": {"epochs": 1, "batch_size": 1024, "learning_rate": 0.01},
        "evaluate": {"k": [10]},
    },
    "blend": {
        "name": "histories",
        "source": {"kind": "synthetic", "users": 1100, "items": 200, "interactions": 20_000},
        "model": {
            "kind": "blend",
            "parts": [
                {"kind": "ease", "l2": 50},
                {"kind": "history", "encoder": "gru", "layers": 1, "embedding_dim": 16},
                {"kind": "history", "encoder": "self_attention", "embedding_dim": 16},
            ],
            "weights": [0.4, 0.3, 0.3],
        },
        "train": {"epochs": 1, "batch_size": 128, "learning_rate": 0.01},
        "evaluate": {"k": [10]},
    },
    "nrms": {
        "name": "readers",
        "source": {
            **{"kind": "news", "users": 1200, "articles": 300, "impressions": 4000},
            **{"topics": 4, "hidden": 60},
        },
        "split": {"kind": "given"},
        "features": {"history_size": 6},
        "text": {"title_size": 6, "word_dim": 8},
        "model": {"kind": "nrms", "heads": 2, "head_dim": 4, "attention_dim": 8},
        "train": {"epochs": 1, "batch_size": 256, "learning_rate": 0.01},
    },
}


@pytest.fixture(scope="module", params=WORLDS)
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, run_recipe: Any
) -> Any:
    return run_recipe(WORLDS[request.param], tmp_path_factory.mktemp("thousand"))


@pytest.fixture(scope="module")
def bundle(made: Any) -> Bundle:
    return Bundle.open(made.bundle)


@pytest.fixture(scope="module")
def users(bundle: Bundle) -> list[Any]:
    ids: list[Any] = bundle.users.raw("user_id").to_pylist()
    assert len(ids) >= USERS
    return ids[:USERS]


@pytest.fixture(scope="module")
def expected(made: Any, users: list[Any]) -> list[list[Any]]:
    """What the trained model itself ranks highest, in the order of its float32 scores."""
    data, model = made.live()
    queries = data.users.head(USERS)
    seen = Lists.from_pairs(*_pairs(made, USERS), USERS)
    scores = dot_product_scores(model.embed_queries(queries), model.embed_items(data.items))
    found = top_k(scores, USERS, data.items.height, K, seen)
    raw = data.items["raw_item_id"].to_list()
    return [[raw[item] for item in row if item >= 0] for row in found.positions]


def _pairs(made: Any, users: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    import polars as pl

    seen = pl.read_parquet(made.stages["process"] / "seen.parquet").explode("item_id")
    kept = seen.filter(pl.col("user_id") < users + FIRST_ID)
    return kept["user_id"].to_numpy() - FIRST_ID, kept["item_id"].to_numpy() - FIRST_ID


def slices(users: list[Any]) -> list[list[Any]]:
    return [users[start : start + TOGETHER] for start in range(0, len(users), TOGETHER)]


class TestThousandUsers:
    def test_bundle(self, bundle: Bundle, users: list[Any], expected: Any) -> None:
        found = [
            [item["item_id"] for item in one.items]
            for some in slices(users)
            for one in bundle.answer([Query(user) for user in some])
        ]
        assert found == expected

    def test_bundle_one_by_one(self, bundle: Bundle, users: list[Any], expected: Any) -> None:
        found = [[item["item_id"] for item in bundle.recommend(user).items] for user in users]
        assert found == expected

    def test_server(self, made: Any, users: list[Any], expected: Any) -> None:
        metrics = Metrics()
        app = create_app(Holder(made.bundle, Bundle.open, metrics), Settings(), metrics)
        found = []
        with TestClient(app) as client:
            for some in slices(users):
                body = {"queries": [{"user_id": user, "k": K} for user in some]}
                answer = client.post("/recommend/batch", json=body).json()
                found += [[item["item_id"] for item in one["items"]] for one in answer["answers"]]
        assert found == expected

    def test_triton(self, bundle: Bundle, users: list[Any], expected: Any, tmp_path: Path) -> None:
        models = Repository(write_model_repository(bundle.path, tmp_path / "models"))
        found = []
        for some in slices(users):
            asked = {"USER_ID": np.array([str(user) for user in some])[:, None]}
            answer = models.infer("recommend", asked)["ITEM_ID"]
            found += [[item.decode() for item in row if item] for row in answer]
        assert found == [[str(item) for item in row] for row in expected]
