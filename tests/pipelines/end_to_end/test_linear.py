"""Linear models through all stages, to a verified bundle that serves histories."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from towermill.columns import FIRST_ID, HISTORY, ITEM_ID, USER_ID
from towermill.pipelines.bundle.bundle import Bundle

MODELS = {
    "ease": {"kind": "ease", "l2": 20.0},
    "item_knn": {"kind": "item_knn", "neighbours": 20},
    "als": {"kind": "als", "factors": 8, "l2": 2.0},
}


@pytest.fixture(scope="module", params=MODELS)
def linear(request: pytest.FixtureRequest, trained: Any, tmp_path_factory: Any) -> Any:
    if request.param == "als":
        pytest.importorskip("implicit")
    out = tmp_path_factory.mktemp(request.param)
    return trained.changed(out, model=MODELS[request.param], features={"history": None})


class TestBundle:
    def test_is_verified(self, linear: Any, cli: Callable[..., Any]) -> None:
        assert cli("verify", linear.bundle).code == 0

    def test_a_history_is_served_as_the_model_scores_it(
        self, linear: Any, cli: Callable[..., Any]
    ) -> None:
        bundle = Bundle.open(linear.bundle)
        rows = [1, 7, 4]
        names = [bundle.item(row)[ITEM_ID] for row in rows]
        said = cli("recommend", linear.bundle, "--history", ",".join(map(str, names)), "--json")
        found = json.loads(said.out)
        data, model = linear.live()
        read = [row + FIRST_ID for row in rows]
        asked = pl.DataFrame({HISTORY: [read]}, schema={HISTORY: pl.List(pl.Int32)})
        scores = model.scores(asked, data.items)(0, 1)[0]
        scores[rows] = -np.inf
        assert [item["score"] for item in found] == pytest.approx(
            np.sort(scores)[: -len(found) - 1 : -1], abs=1e-4
        )
        assert not {item[ITEM_ID] for item in found} & set(names)

    def test_a_known_user_is_served_from_all_splits(self, linear: Any) -> None:
        bundle = Bundle.open(linear.bundle)
        data, model = linear.live()
        found = bundle.embed_users(np.arange(5))
        expected = model.embed_queries(data.users.head(5))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
        assert data.users[HISTORY].list.len().max() > 0

    def test_beats_chance(self, linear: Any) -> None:
        metrics = json.loads((Path(linear.stages["evaluate"]) / "metrics.json").read_text())
        random = metrics["baselines"]["random"]["recall@10"]
        assert metrics["metrics"]["recall@10"] > 1.2 * random
        assert USER_ID not in [column.name for column in linear.live()[1].query_schema]
