"""Reading a bundle: whom it knows, what it recommends, and what it takes for damage."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from bundles import rewrite

from towermill.errors import BundleError
from towermill.pipelines import Bundle, run, validate_recipe


@pytest.fixture(scope="module")
def bundle(trained: Any) -> Bundle:
    return Bundle.open(trained.bundle)


@pytest.fixture(scope="module")
def busiest(trained: Any) -> int:
    """The raw id of the user of most training rows."""
    return int(pl.read_parquet(trained.bundle / "user_features.parquet")["raw_user_id"][0])


@pytest.fixture
def copy(trained: Any, tmp_path: Path) -> Path:
    shutil.copytree(trained.bundle, tmp_path / "bundle")
    return tmp_path / "bundle"


class TestOpen:
    def test_the_folder_of_its_run(self, trained: Any, bundle: Bundle) -> None:
        assert Bundle.open(trained.latest).path == bundle.path

    def test_a_folder_without_one(self, tmp_path: Path) -> None:
        with pytest.raises(BundleError, match="No bundle at"):
            Bundle.open(tmp_path)


class TestRecommend:
    def test_best_first_with_raw_features(self, bundle: Bundle, busiest: int) -> None:
        found = bundle.recommend(busiest, 4)
        assert found.known
        assert len(found.items) == 4
        scores = [item["score"] for item in found.items]
        assert scores == sorted(scores, reverse=True)
        assert list(found.items[0]) == [
            *("item_id", "title", "category", "brand", "price", "tags", "score"),
        ]
        for item in found.items:
            assert item["title"].endswith(f"no. {item['item_id']}")

    def test_scores_are_dot_products_of_the_live_model(
        self, trained: Any, bundle: Bundle, busiest: int
    ) -> None:
        from towermill.models.build import load_model

        data, retriever = load_model(
            trained.stages["process"], trained.stages["train"], trained.recipe.model
        )
        query = retriever.embed_queries(data.users.head(1))
        expected = np.sort((retriever.embed_items(data.items) @ query.T)[:, 0])[::-1]
        found = bundle.recommend(busiest, 10_000, filter_seen=False)
        assert [i["score"] for i in found.items] == pytest.approx(expected, abs=1e-5)

    def test_seen_items_are_left_out(self, trained: Any, bundle: Bundle, busiest: int) -> None:
        seen = pl.read_parquet(trained.bundle / "seen_items.parquet")
        encoded = set(seen.filter(pl.col("user_id") == 3)["item_id"].item())
        items = pl.read_parquet(trained.bundle / "item_features.parquet")
        met = set(items.filter(pl.col("item_id").is_in(encoded))["raw_item_id"])
        new = {i["item_id"] for i in bundle.recommend(busiest, 10_000).items}
        assert met
        assert new == set(items["raw_item_id"]) - met
        all_of = {i["item_id"] for i in bundle.recommend(busiest, 10_000, filter_seen=False).items}
        assert all_of == set(items["raw_item_id"])

    def test_more_than_there_are(self, bundle: Bundle, busiest: int) -> None:
        found = bundle.recommend(busiest, 10**9, filter_seen=False)
        assert len(found.items) == bundle.manifest.rows.items

    @pytest.mark.parametrize("k", [0, -1, 1.5, True, "3", None])
    def test_k(self, bundle: Bundle, k: Any) -> None:
        with pytest.raises(BundleError, match=r"`k` should be a positive integer. Received: k="):
            bundle.recommend(1, k)


class TestArguments:
    @pytest.mark.parametrize("odd", [[[1]], [{}], [np.array([1, 2])], [None], [float("nan")]])
    def test_what_can_be_no_id_is_unknown(self, bundle: Bundle, busiest: int, odd: Any) -> None:
        expected = bundle.recommend(busiest, 3)
        assert bundle.recommend(busiest, 3, exclude=odd) == expected
        assert bundle.recommend(busiest, 3, candidates=odd).items == []

    @pytest.mark.parametrize("odd", [[[1]], [{}]])
    def test_rank_of_what_can_be_no_id(self, bundle: Bundle, busiest: int, odd: Any) -> None:
        found = bundle.rank(busiest, [*odd, 1, 1])
        assert [item["item_id"] for item in found.items] == [1, *odd]

    def test_arrays(self, bundle: Bundle, busiest: int) -> None:
        best = [item["item_id"] for item in bundle.recommend(busiest, 4).items]
        found = bundle.recommend(busiest, 2, exclude=np.array(best[:2]))
        assert [item["item_id"] for item in found.items] == best[2:]

    @pytest.mark.parametrize("filter_seen", ["no", None, 0, np.array([True, False])])
    def test_filter_seen(self, bundle: Bundle, filter_seen: Any) -> None:
        with pytest.raises(BundleError, match="`filter_seen` should be true or false"):
            bundle.recommend(1, 3, filter_seen)


class TestUsers:
    @pytest.mark.parametrize("cast", [int, str, float, np.int32, np.int64])
    def test_numbers_in_any_type(
        self, bundle: Bundle, busiest: int, cast: Callable[[Any], Any]
    ) -> None:
        assert bundle.recommend(cast(busiest), 3) == bundle.recommend(busiest, 3)

    @pytest.mark.parametrize(
        "user_id", [-1, 10**30, "nobody", "", "1.5", 1.5, None, True, float("nan"), [1], b"1"]
    )
    def test_unknown(self, bundle: Bundle, user_id: Any) -> None:
        found = bundle.recommend(user_id, 3)
        assert not found.known
        assert len(found.items) == 3
        assert found == bundle.recommend("someone else", 3)

    def test_string_ids(self, bundle: Bundle, copy: Path, busiest: int) -> None:
        users = pl.read_parquet(copy / "user_features.parquet")
        users = users.with_columns(pl.col("raw_user_id").cast(pl.String))
        rewrite(copy, users=users)
        renamed = Bundle.open(copy)
        expected = bundle.recommend(busiest, 3)
        for user_id in (busiest, str(busiest)):
            assert renamed.recommend(user_id, 3) == expected
        assert not renamed.recommend(f"0{busiest}", 3).known


class TestDamage:
    def test_every_file_is_missed(self, trained: Any, copy: Path) -> None:
        for name in json.loads((copy / "manifest.json").read_text())["files"]:
            (copy / name).rename(copy / "away")
            with pytest.raises(BundleError, match=r"is not whole: .* is missing"):
                Bundle.open(copy)
            (copy / "away").rename(copy / name)
        assert Bundle.open(copy).manifest

    @pytest.mark.parametrize(
        "name", ["item_embeddings.parquet", "onnx/query_tower.onnx", "tables/users.arrow"]
    )
    def test_a_changed_byte(self, copy: Path, name: str) -> None:
        content = bytearray((copy / name).read_bytes())
        content[len(content) // 2] ^= 1
        (copy / name).write_bytes(content)
        with pytest.raises(BundleError, match=f"is damaged: {name}"):
            Bundle.open(copy, verify=True)
        assert Bundle.open(copy).manifest

    def test_a_cut_file(self, copy: Path) -> None:
        path = copy / "item_embeddings.parquet"
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(BundleError, match="Export it again"):
            Bundle.open(copy)

    def test_no_bundle(self, tmp_path: Path) -> None:
        for path in (tmp_path, tmp_path / "nowhere"):
            with pytest.raises(BundleError, match="No bundle at"):
                Bundle.open(path)


class TestContextAndLists:
    """A model with a list of the user and features of the moment, which nobody gives."""

    @pytest.fixture(scope="class")
    def made(self, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
        folder = tmp_path_factory.mktemp("context")
        rows = [
            (u, i, 1_700_000_000 + 5000 * ((i + 5 * u) % 12) + u)
            for u in range(8)
            for i in range(12)
        ]
        frame = pl.DataFrame(rows, ["user_id", "item_id", "at"], orient="row")
        frame.filter((pl.col("user_id") + pl.col("item_id")) % 3 > 0).write_parquet(
            folder / "rows.parquet"
        )
        likes = [["a", "b"], ["b"], [], None] * 2
        pl.DataFrame({"user_id": range(8), "likes": likes}).write_parquet(folder / "users.parquet")
        recipe = validate_recipe(
            {
                "name": "context",
                "source": {
                    "kind": "table",
                    "interactions": {"path": str(folder / "rows.parquet"), "timestamp": "at"},
                    "users": {"path": str(folder / "users.parquet"), "features": {"likes": "list"}},
                },
                "features": {"context": {"hour": "hour"}},
                "split": {"kind": "leave_one_out"},
                "model": {"tower": [4]},
                "train": {"epochs": 1, "batch_size": 16},
                "evaluate": {"k": [3]},
            }
        )
        run(recipe, folder / "runs")
        return Bundle.open(folder / "runs/context/latest/bundle")

    def test_every_user_and_none(self, made: Bundle) -> None:
        assert set(made.manifest.query_features) == {"user_id", "likes", "hour"}
        for user_id in range(8):
            found = made.recommend(user_id, 12)
            assert found.known
            assert all(np.isfinite(item["score"]) for item in found.items)
        assert not made.recommend(99, 3).known
        assert len(made.recommend(99, 3).items) == 3
