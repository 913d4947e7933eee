"""Recommendations for all at once equal those for one at a time."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from bundles import reindex, rewrite
from distributed import LocalCluster

from towermill.errors import BundleError, DataError, SetupError
from towermill.pipelines import Bundle
from towermill.pipelines.recommend import for_all as bulk
from towermill.pipelines.recommend.for_all import recommend_all
from towermill.pipelines.running.shared_storage import require_readable
from towermill.runtime.device import Runtime


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 300 users three whole blocks and a part of one."""
    monkeypatch.setattr(bulk, "_USERS", 64)


@pytest.fixture(scope="module")
def raw_users(trained: Any) -> list[int]:
    return pl.read_parquet(trained.bundle / "user_features.parquet")["raw_user_id"].to_list()


def hold_against(bundle: Path, written: Path, users: list[Any], k: int, seen: bool) -> None:
    opened, table = Bundle.open(bundle), pl.read_parquet(written)
    assert table.columns == ["user_id", "item_id", "score", "rank"]
    assert table["user_id"].unique(maintain_order=True).to_list() == users
    by_user = table.partition_by("user_id", maintain_order=True)
    for user, rows in zip(users, by_user, strict=True):
        one = opened.recommend(user, k, filter_seen=not seen).items
        assert rows["item_id"].to_list() == [item["item_id"] for item in one], user
        assert rows["score"].to_list() == [item["score"] for item in one], user
        assert rows["rank"].to_list() == list(range(1, len(one) + 1))


class TestEqual:
    @pytest.mark.parametrize(("k", "keep_seen"), [(5, False), (1000, True)])
    def test_one_by_one(
        self, trained: Any, raw_users: list[int], tmp_path: Path, k: int, keep_seen: bool
    ) -> None:
        written = recommend_all(trained.bundle, tmp_path / "r", k, filter_seen=not keep_seen)
        assert (written.users, written.unknown) == (len(raw_users), 0)
        hold_against(trained.bundle, tmp_path / "r", raw_users, k, keep_seen)
        assert written.rows == pl.read_parquet(tmp_path / "r").height

    def test_ties(self, trained: Any, raw_users: list[int], tmp_path: Path) -> None:
        """Every third item has the same embedding, and so the same score to everybody."""
        bundle = tmp_path / "bundle"
        shutil.copytree(trained.bundle, bundle)
        vectors = np.load(bundle / "index" / "vectors.npy")
        reindex(bundle, vectors[np.arange(len(vectors)) % 3])
        recommend_all(bundle, tmp_path / "r", 9)
        hold_against(bundle, tmp_path / "r", raw_users, 9, False)
        assert pl.read_parquet(tmp_path / "r").n_unique(["user_id", "score"]) <= 3 * len(raw_users)

    def test_who_has_met_all_has_no_rows(self, trained: Any, tmp_path: Path) -> None:
        bundle = tmp_path / "bundle"
        shutil.copytree(trained.bundle, bundle)
        seen = pl.read_parquet(bundle / "seen_items.parquet")
        ids = pl.read_parquet(bundle / "item_features.parquet")["item_id"].to_list()
        everything = pl.when(pl.col("user_id") == 3).then(pl.lit(ids)).otherwise("item_id")
        rewrite(bundle, seen=seen.with_columns(item_id=everything))
        recommend_all(bundle, tmp_path / "r", 2)
        found = pl.read_parquet(tmp_path / "r")["user_id"].n_unique()
        assert found == Bundle.open(bundle).manifest.rows.users - 1

    def test_histories_are_the_queries_of_news(self, news: Any, tmp_path: Path) -> None:
        recommend_all(news.bundle, tmp_path / "r", 4)
        users = pl.read_parquet(news.bundle / "user_features.parquet")
        hold_against(news.bundle, tmp_path / "r", users["raw_user_id"].to_list(), 4, False)

    def test_on_a_cluster(self, trained: Any, raw_users: list[int], tmp_path: Path) -> None:
        with LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=False,
            protocol="tcp",
            dashboard_address=":0",
        ) as cluster:
            runtime = Runtime(cluster=cluster.scheduler_address)
            recommend_all(trained.bundle, tmp_path / "r", 5, runtime=runtime)
        recommend_all(trained.bundle, tmp_path / "alone", 5)
        assert pl.read_parquet(tmp_path / "r").equals(pl.read_parquet(tmp_path / "alone"))


class TestUsers:
    def test_of_a_file(self, trained: Any, raw_users: list[int], tmp_path: Path) -> None:
        some = [raw_users[i] for i in (3, 64, 65, -1)]
        names = [*map(str, reversed(some)), "nobody", str(some[0]), ""]
        file = tmp_path / "users.csv"
        file.write_text("other,user_id\n" + "".join(f"x,{name}\n" for name in names))
        written = recommend_all(trained.bundle, tmp_path / "r", 5, users=file)
        assert (written.users, written.unknown) == (4, 2)
        hold_against(trained.bundle, tmp_path / "r", some, 5, False)

    def test_a_fraction_is_nobody(self, trained: Any, raw_users: list[int], tmp_path: Path) -> None:
        file = tmp_path / "users.parquet"
        pl.DataFrame({"user_id": [raw_users[0] + 0.5, float(raw_users[1])]}).write_parquet(file)
        written = recommend_all(trained.bundle, tmp_path / "r", 5, users=file)
        assert (written.users, written.unknown) == (1, 1)
        assert set(pl.read_parquet(tmp_path / "r")["user_id"]) == {raw_users[1]}

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("user\n1\n", "should have a column `user_id`. Did you mean 'user'"),
            ("user_id\nnobody\n", "None of the 1 users of .* is known"),
            ("user_id\n", "None of the 0 users"),
            ("user_id\ntrue\n", "should be text or whole numbers. Its type is Boolean"),
        ],
    )
    def test_a_file_that_is_none(self, trained: Any, tmp_path: Path, text: str, said: str) -> None:
        file = tmp_path / "users.csv"
        file.write_text(text)
        with pytest.raises(DataError, match=said):
            recommend_all(trained.bundle, tmp_path / "r", users=file)
        assert not (tmp_path / "r").exists()


class TestWriting:
    def test_whole_or_as_it_was(
        self, trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        out = tmp_path / "new" / "r.parquet"
        recommend_all(trained.bundle, out, 5)
        before = out.read_bytes()
        embed, blocks = Bundle.embed_users, iter(range(2))

        def fails_late(self: Bundle, rows: Any) -> Any:
            return embed(self, rows) * (1.0 if next(blocks, None) is not None else np.nan)

        monkeypatch.setattr(Bundle, "embed_users", fails_late)
        with pytest.raises(BundleError, match="NaN"):
            recommend_all(trained.bundle, out, 5)
        assert out.read_bytes() == before
        assert [path.name for path in out.parent.iterdir()] == ["r.parquet"]

    @pytest.mark.parametrize("k", [0, -1, 1.5, True])
    def test_k(self, trained: Any, tmp_path: Path, k: Any) -> None:
        with pytest.raises(BundleError, match=r"`k` should be a positive integer"):
            recommend_all(trained.bundle, tmp_path / "r", k)

    def test_a_folder(self, trained: Any, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="should name a file that can be written"):
            recommend_all(trained.bundle, tmp_path)

    def test_workers_that_do_not_see_the_bundle(self, tmp_path: Path) -> None:
        class Elsewhere:
            def run(self, function: Any, files: list[str]) -> dict[str, str]:
                return {"tcp://1": function([]), "tcp://2": function(files)}

        said = rf"worker tcp://2 cannot read {tmp_path / 'gone'}\."
        with pytest.raises(SetupError, match=said):
            require_readable(Elsewhere(), [tmp_path / "gone"])


class TestCommand:
    def test_all_and_users(self, trained: Any, cli: Any, tmp_path: Path) -> None:
        out, file = tmp_path / "r.parquet", tmp_path / "u.csv"
        said = cli("recommend", trained.bundle, "--all", "-k", "3", "--out", out)
        assert said.code == 0, said.err
        assert f"{pl.read_parquet(out).height} rows: {out}" in said.out
        user = pl.read_parquet(out)["user_id"][0]
        file.write_text(f"user_id\n{user}\n-5\n")
        said = cli("recommend", trained.bundle, "--users", file, "--out", out, "--json")
        assert json.loads(said.out) == {"users": 1, "rows": 10, "unknown": 1, "out": str(out)}
        assert "1 users of" in said.err

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["--all"], "need --out"),
            (["--out", "x"], "Give one of"),
            (["--all", "--user", "1", "--out", "x"], "Give one of"),
            (["--user", "1", "--out", "x"], "do not take it"),
            (["--user", "1", "--cluster", "local"], "--cluster is for"),
        ],
    )
    def test_what_does_not_go_together(
        self, cli: Any, tmp_path: Path, arguments: list[str], said: str
    ) -> None:
        answer = cli("recommend", tmp_path, *arguments)
        assert answer.code == 2
        assert said in answer.err


class TestWhereToWrite:
    def test_below_a_file(self, trained: Any, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(DataError, match="should name a file that can be written"):
            recommend_all(trained.bundle, tmp_path / "file" / "recs.parquet")

    def test_from_a_blend(self, slates_blend: Path, tmp_path: Path) -> None:
        with pytest.raises(BundleError, match="a blend recommends to one user at a time"):
            recommend_all(slates_blend, tmp_path / "recs.parquet")
