"""A ranker's bundle, and a funnel of a retriever's and a ranker's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from towermill.errors import BundleError, RecipeError
from towermill.models.contracts.ranker import Ranker
from towermill.pipelines import Bundle
from towermill.pipelines.recommend.embed_items import embed_items
from towermill.pipelines.recommend.for_all import recommend_all
from towermill.pipelines.recommend.funnel import Funnel, FunnelConfig
from towermill.pipelines.recommend.open import open_recommender

NCF = {"kind": "ncf", "embedding_dim": 8, "mlp": [8]}


@pytest.fixture(scope="module")
def ranker(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The tiny world's NCF, on the same processed data."""
    return trained.changed(tmp_path_factory.mktemp("ranker"), model=NCF)


@pytest.fixture(scope="module")
def funnel(trained: Any, ranker: Any) -> Funnel:
    return Funnel(FunnelConfig(retrieve=trained.bundle, rank=ranker.bundle, candidates=20))


def expected_scores(ranker: Any, user: Any) -> dict[Any, float]:
    """Return the live ranker's score of every item for a user, by raw id."""
    data, live = ranker.live()
    row = data.users.filter(pl.col("raw_user_id") == user)
    scores = live.scores(row, data.items)(0, 1)[0]
    return dict(zip(data.items["raw_item_id"], scores.tolist(), strict=True))


class TestRankersBundle:
    def test_is_of_its_kind(self, ranker: Any) -> None:
        manifest = json.loads((ranker.bundle / "manifest.json").read_text())
        assert manifest["kind"] == "ranker"
        assert set(manifest["parity"]["max_abs_difference"]) == {"ranker"}
        assert (ranker.bundle / "ranker" / "saved_model.pb").is_file()
        assert not (ranker.bundle / "item_embeddings.parquet").exists()
        assert manifest["metrics"]["protocol"] == "catalogue"
        assert isinstance(ranker.live()[1], Ranker)

    def test_recommends_what_scores_highest(self, ranker: Any) -> None:
        bundle = Bundle.open(ranker.bundle)
        user = pl.read_parquet(ranker.bundle / "user_features.parquet")["raw_user_id"][3]
        expected = expected_scores(ranker, user)
        found = bundle.recommend(user, 50, filter_seen=False)
        assert found.known
        scores = [item["score"] for item in found.items]
        assert scores == sorted(scores, reverse=True)
        assert {i["item_id"]: i["score"] for i in found.items} == pytest.approx(expected, abs=1e-5)

    def test_is_none_for_everybody_at_once(self, ranker: Any, tmp_path: Path) -> None:
        with pytest.raises(BundleError, match="Expected the bundle of a retriever"):
            recommend_all(ranker.bundle, tmp_path / "recs.parquet")

    def test_takes_no_history(self, ranker: Any) -> None:
        with pytest.raises(BundleError, match="takes no `history`"):
            Bundle.open(ranker.bundle).recommend(history=[1])


class TestRank:
    def test_orders_what_is_given(self, trained: Any) -> None:
        bundle = Bundle.open(trained.bundle)
        user = pl.read_parquet(trained.bundle / "user_features.parquet")["raw_user_id"][5]
        everything = bundle.recommend(user, 50, filter_seen=False).items
        wanted = [item["item_id"] for item in everything[::-3]]
        found = bundle.rank(user, wanted)
        assert [i["item_id"] for i in found.items] == wanted[::-1]
        assert [i["score"] for i in found.items] == pytest.approx(
            [i["score"] for i in everything[::-3]][::-1], abs=1e-5
        )

    def test_strangers_come_last_in_their_order(self, trained: Any) -> None:
        bundle = Bundle.open(trained.bundle)
        one = bundle.recommend(None, 1).items[0]["item_id"]
        found = bundle.rank("nobody", [10**9 + 2, one, 10**9 + 1, one])
        assert [i["item_id"] for i in found.items] == [one, 10**9 + 2, 10**9 + 1]
        assert [i["score"] is None for i in found.items] == [False, True, True]
        assert not found.known
        assert bundle.rank(None, []).items == []

    @pytest.mark.parametrize("items", ["12", 12, None])
    def test_no_list(self, items: Any, trained: Any) -> None:
        with pytest.raises(BundleError, match="`items` should be a list"):
            Bundle.open(trained.bundle).rank(1, items)


class TestFunnel:
    def test_candidates_in_the_rankers_order(
        self, funnel: Funnel, trained: Any, ranker: Any
    ) -> None:
        users = pl.read_parquet(trained.bundle / "user_features.parquet")["raw_user_id"]
        for user in users[:5]:
            brought = Bundle.open(trained.bundle, verify=False).recommend(user, 20).items
            scores = expected_scores(ranker, user)
            order = sorted((i["item_id"] for i in brought), key=lambda i: -scores[i])
            found = funnel.recommend(user, 8)
            assert [item["item_id"] for item in found.items] == order[:8]
            assert found.known
            assert {*brought[0]} <= {*found.items[0]}

    def test_seen_items_are_left_out(self, funnel: Funnel, trained: Any) -> None:
        users = pl.read_parquet(trained.bundle / "user_features.parquet")
        seen = pl.read_parquet(trained.bundle / "seen_items.parquet")
        raw = pl.read_parquet(trained.bundle / "item_features.parquet")["raw_item_id"]
        own = seen.join(users, on="user_id").row(0, named=True)
        found = {i["item_id"] for i in funnel.recommend(own["raw_user_id"], 20).items}
        assert not found & {raw[i - 3] for i in own["item_id"]}

    def test_unknown_user(self, funnel: Funnel) -> None:
        found = funnel.recommend("nobody", 3)
        assert len(found.items) == 3
        assert not found.known
        assert np.isfinite([i["score"] for i in found.items]).all()

    @pytest.mark.parametrize("k", [0, True, 2.0])
    def test_k(self, k: Any, funnel: Funnel) -> None:
        with pytest.raises(BundleError, match="`k` should be a positive integer"):
            funnel.recommend(1, k)

    def test_no_more_than_the_candidates(self, funnel: Funnel) -> None:
        assert len(funnel.recommend(1, 30).items) == 20

    def test_no_bundle(self, trained: Any, tmp_path: Path) -> None:
        with pytest.raises(BundleError, match="No bundle at"):
            Funnel(FunnelConfig(retrieve=trained.bundle, rank=tmp_path))

    def test_of_other_items(
        self, trained: Any, ranker: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Bundle, "find_item", lambda *_: None)
        with pytest.raises(BundleError, match="none in common"):
            Funnel(FunnelConfig(retrieve=trained.bundle, rank=ranker.bundle))


class TestFromAFile:
    def test_is_opened_as_a_recommender(
        self, funnel: Funnel, trained: Any, ranker: Any, tmp_path: Path
    ) -> None:
        section = {"retrieve": str(trained.bundle), "rank": str(ranker.bundle), "candidates": 20}
        path = tmp_path / "funnel.yaml"
        path.write_text(yaml.safe_dump({"funnel": section}))
        user = pl.read_parquet(trained.bundle / "user_features.parquet")["raw_user_id"][0]
        assert open_recommender(path).recommend(user, 5) == funnel.recommend(user, 5)

    def test_of_a_wrong_key(self, tmp_path: Path) -> None:
        path = tmp_path / "funnel.yaml"
        path.write_text("funnel: {retrieve: a, rank: b, candidate: 3}")
        with pytest.raises(RecipeError, match="candidate"):
            open_recommender(path)


class TestRankerElsewhere:
    def test_has_no_item_tower(self, ranker: Any, tmp_path: Path) -> None:
        with pytest.raises(BundleError, match="Expected a bundle with an item tower"):
            embed_items(ranker.bundle, tmp_path / "items.parquet", tmp_path / "out.parquet")
