"""A ranker's bundle, and a funnel of a retriever's and a ranker's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from towermill.errors import BundleError, RecipeError
from towermill.models.contracts.ranker import Ranker
from towermill.pipelines import Bundle, Query
from towermill.pipelines.recommend import for_all as bulk
from towermill.pipelines.recommend.combined import ordering
from towermill.pipelines.recommend.combined.funnel import Funnel, FunnelConfig
from towermill.pipelines.recommend.embed_items import embed_items
from towermill.pipelines.recommend.for_all import recommend_all
from towermill.pipelines.recommend.open import open_recommender


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
        monkeypatch.setattr(ordering, "rows_in", lambda *_: np.array([-1]))
        with pytest.raises(BundleError, match="none in common"):
            Funnel(FunnelConfig(retrieve=trained.bundle, rank=ranker.bundle))


class TestHistory:
    def test_the_rankers_unknown_user_keeps_the_retrievers_order(
        self, ease: Any, ranker: Any
    ) -> None:
        funnel = Funnel(FunnelConfig(retrieve=ease.bundle, rank=ranker.bundle, candidates=20))
        history = [item["item_id"] for item in funnel.recommend(None, 3).items]
        found = funnel.recommend(history=history, k=7)
        alone = Bundle.open(ease.bundle).recommend(history=history, k=7)
        assert found == alone
        assert found.by == "history"

    def test_of_a_retriever_without_any(self, funnel: Funnel) -> None:
        with pytest.raises(BundleError, match="takes no `history`"):
            funnel.recommend(history=[1])


class TestQueries:
    def test_several_at_once(self, funnel: Funnel, users: list[Any]) -> None:
        queries = [Query(users[0], 3), Query("nobody", 5), Query(users[1], 4, filter_seen=False)]
        for query, found in zip(queries, funnel.answer(queries), strict=True):
            alone = funnel.recommend(query.user_id, query.k, query.filter_seen)
            assert [i["item_id"] for i in found.items] == [i["item_id"] for i in alone.items]
            assert (found.known, found.by) == (alone.known, alone.by)
        assert funnel.answer([]) == []

    def test_wishes_about_items(self, funnel: Funnel, users: list[Any]) -> None:
        first, *rest = [item["item_id"] for item in funnel.recommend(users[0], 6).items]
        found = funnel.recommend(users[0], 20, exclude=[first])
        assert first not in [item["item_id"] for item in found.items]
        only = funnel.recommend(users[0], 6, candidates=rest[::-1])
        assert [item["item_id"] for item in only.items] == rest

    def test_features_of_either(self, funnel: Funnel, users: list[Any]) -> None:
        found = funnel.recommend(features={"user_id": users[0]}, k=5)
        assert (len(found.items), found.by) == (5, "user")
        with pytest.raises(BundleError, match=r"`features` may be .*user_id.*Received: shoe_size"):
            funnel.recommend(features={"user_id": users[0], "shoe_size": 43})

    def test_bundles_in_each_others_places(self, trained: Any, ranker: Any) -> None:
        with pytest.raises(BundleError, match="`retrieve` should be a retriever's"):
            Funnel(FunnelConfig(retrieve=ranker.bundle, rank=ranker.bundle))
        with pytest.raises(BundleError, match="`rank` should be a ranker's"):
            Funnel(FunnelConfig(retrieve=trained.bundle, rank=trained.bundle))

    def test_items_that_the_ranker_lacks_come_last(
        self, trained: Any, ranker: Any, users: list[Any]
    ) -> None:
        funnel = Funnel(FunnelConfig(retrieve=trained.bundle, rank=ranker.bundle, candidates=9))
        brought = [i["item_id"] for i in Bundle.open(trained.bundle).recommend(users[0], 9).items]
        funnel.ordering.items[funnel.find_item(brought[0])] = -1
        last = funnel.recommend(users[0], 9).items[-1]
        assert (last["item_id"], last["score"]) == (brought[0], None)


class TestWeight:
    def test_mixes_both_scores(
        self, trained: Any, ranker: Any, funnel: Funnel, users: list[Any]
    ) -> None:
        config = funnel.config.model_copy(update={"weight": 0.25})
        by_user = {i["item_id"]: i["score"] for i in funnel.recommend(users[2], 20).items}
        brought = Bundle.open(trained.bundle).recommend(users[2], 20).items
        first = np.array([item["score"] for item in brought])
        second = np.array([by_user[item["item_id"]] for item in brought])
        expected = 0.75 * (first - first.mean()) / first.std()
        expected += 0.25 * (second - second.mean()) / second.std()
        found = Funnel(config).recommend(users[2], 20).items
        order = np.argsort(-expected, kind="stable")
        assert [i["item_id"] for i in found] == [brought[row]["item_id"] for row in order]
        assert [i["score"] for i in found] == pytest.approx(expected[order], abs=1e-4)


class TestForAll:
    def test_equals_one_by_one(
        self,
        funnel_file: Path,
        funnel: Funnel,
        users: list[Any],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(bulk, "_USERS", 64)
        written = recommend_all(funnel_file, tmp_path / "all.parquet", 5)
        table = pl.read_parquet(tmp_path / "all.parquet")
        assert (written.users, written.rows) == (len(users), table.height)
        lists = table.partition_by("user_id", maintain_order=True)
        assert [rows["user_id"][0] for rows in lists] == users
        for rows in lists[::40]:
            one = funnel.recommend(rows["user_id"][0], 5).items
            assert rows["item_id"].to_list() == [item["item_id"] for item in one]
            assert rows["score"].to_list() == pytest.approx([i["score"] for i in one], abs=1e-5)

    def test_from_the_command_line(
        self, cli: Any, funnel_file: Path, users: list[Any], tmp_path: Path
    ) -> None:
        wanted = tmp_path / "users.csv"
        wanted.write_text(f"user_id\n{users[0]}\nnobody\n")
        said = cli("recommend", funnel_file, "--users", wanted, "--out", tmp_path / "r.parquet")
        assert said.code == 0, said.err
        assert said.out.startswith("1 users, 10 rows")

    def test_on_workers(
        self, funnel_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A worker opens the file once, and again when a bundle of it is another."""
        order = bulk._Order(funnel_file, 4, True)
        rows = np.arange(5)
        first = bulk.recommend_block(order, rows)
        opened = dict(bulk._opened)
        assert bulk.recommend_block(order, rows).equals(first)
        assert bulk._opened == opened


class TestFromAFile:
    def test_is_opened_as_a_recommender(
        self, funnel_file: Path, funnel: Funnel, users: list[Any]
    ) -> None:
        assert open_recommender(funnel_file).recommend(users[0], 5) == funnel.recommend(users[0], 5)

    def test_paths_are_relative_to_it(
        self, trained: Any, ranker: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "films").symlink_to(trained.latest)
        (tmp_path / "ranked").symlink_to(ranker.latest)
        path = tmp_path / "deep" / "films.yaml"
        path.parent.mkdir()
        path.write_text("funnel: {retrieve: ../films/bundle, rank: ../ranked/bundle}")
        monkeypatch.chdir("/")
        assert open_recommender(path).manifest.recipe_name == "films"
        monkeypatch.chdir(tmp_path)
        path.write_text("funnel: {retrieve: films/bundle, rank: ../ranked/bundle}")
        with pytest.raises(BundleError, match=r"No bundle at .*deep/films/bundle.*relative to its"):
            open_recommender(path)

    def test_its_id_follows_from_the_content(
        self, funnel: Funnel, trained: Any, ranker: Any, tmp_path: Path
    ) -> None:
        (tmp_path / "elsewhere").symlink_to(trained.bundle)
        config = FunnelConfig(retrieve=tmp_path / "elsewhere", rank=ranker.bundle, candidates=20)
        assert Funnel(config).manifest.id == funnel.manifest.id
        other = config.model_copy(update={"candidates": 21})
        assert Funnel(other).manifest.id != funnel.manifest.id

    def test_of_a_wrong_key(self, tmp_path: Path) -> None:
        path = tmp_path / "funnel.yaml"
        path.write_text("funnel: {retrieve: a, rank: b, candidate: 3}")
        with pytest.raises(RecipeError, match="candidate"):
            open_recommender(path)


class TestRankerElsewhere:
    def test_has_no_item_tower(self, ranker: Any, tmp_path: Path) -> None:
        with pytest.raises(BundleError, match="Expected a bundle with an item tower"):
            embed_items(ranker.bundle, tmp_path / "items.parquet", tmp_path / "out.parquet")
