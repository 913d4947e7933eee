"""Seen items: each known user's known ones, whatever the parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from towermill.workflows.process import user_lists
from towermill.workflows.process.user_lists import write_seen, write_sequences


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Users u0 … u19 are 3 … 22, items 0, 2, 4 … 58 are 32 … 3."""
    users = pl.DataFrame({"raw_user_id": [f"u{n}" for n in range(20)]})
    users.with_columns(user_id=pl.int_range(3, 23, dtype=pl.Int32)).write_parquet(
        tmp_path / "users.parquet"
    )
    items = pl.DataFrame({"raw_item_id": range(0, 60, 2)})
    items.with_columns(item_id=pl.int_range(32, 2, -1, dtype=pl.Int32)).write_parquet(
        tmp_path / "items.parquet"
    )
    return tmp_path


class TestSeen:
    @pytest.mark.parametrize("part_rows", [1, 30, 10**6])
    def test_is_that_of_sets(
        self, out: Path, part_rows: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(user_lists, "PART_ROWS", part_rows)
        rng = np.random.default_rng(0)
        rows = [(f"u{user}", item) for user, item in rng.integers(0, (25, 60), (400, 2)).tolist()]
        write_seen(pl.DataFrame(rows, ["user_id", "item_id"], orient="row").lazy(), out, out)
        expected: dict[int, set[int]] = {}
        for user, item in rows:
            if int(user[1:]) < 20 and item % 2 == 0:
                expected.setdefault(int(user[1:]) + 3, set()).add(32 - item // 2)
        found = pl.read_parquet(out / "seen.parquet")
        assert dict(found.schema) == {"user_id": pl.Int32, "item_id": pl.List(pl.Int32)}
        assert found.rows() == [(user, sorted(items)) for user, items in sorted(expected.items())]
        assert len(list(out.iterdir())) == 3

    def test_none_known(self, out: Path) -> None:
        write_seen(pl.DataFrame({"user_id": ["u0"], "item_id": [1]}).lazy(), out, out)
        assert pl.read_parquet(out / "seen.parquet").rows() == []


class TestSequences:
    SPLITS = ("train", "validation", "test")

    @staticmethod
    def _write(out: Path, timed: bool) -> dict[str, list[tuple[int, int, int]]]:
        """Write random splits, unknown ids among them, and return their rows."""
        rng = np.random.default_rng(1)
        rows = {}
        for name, count in zip(TestSequences.SPLITS, (300, 60, 60), strict=True):
            drawn = np.stack(
                [rng.integers(1, 23, count), rng.integers(1, 33, count), rng.permutation(count)], 1
            )
            frame = pl.DataFrame(drawn.astype(np.int32), ["user_id", "item_id", "timestamp"])
            frame = frame.with_columns(pl.col("timestamp").cast(pl.Datetime("us")))
            (out / name).mkdir()
            frame = frame if timed else frame.drop("timestamp")
            frame.write_parquet(out / name / "part_00000.parquet")
            rows[name] = [tuple(row) for row in drawn.tolist()]
        return rows

    @pytest.mark.parametrize("part_rows", [1, 50, 10**6])
    @pytest.mark.parametrize("timed", [True, False])
    def test_are_each_users_items_in_order(
        self, out: Path, timed: bool, part_rows: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(user_lists, "PART_ROWS", part_rows)
        rows = self._write(out, timed)
        write_sequences(out, out, size=7)
        expected: dict[int, dict[str, list[int]]] = {}
        for name, split in rows.items():
            ordered = sorted(split, key=lambda row: row[2]) if timed else split
            for user, item, _ in ordered:
                if user >= 3 and item >= 3:
                    expected.setdefault(user, {n: [] for n in rows})[name].append(item)
        found = pl.read_parquet(out / "sequences.parquet")
        assert found["user_id"].to_list() == sorted(expected)
        for user, *lists in found.select("user_id", *self.SPLITS).rows():
            assert dict(zip(self.SPLITS, lists, strict=True)) == expected[user]
        users = pl.read_parquet(out / "users.parquet")
        for user, history in users.select("user_id", "history").rows():
            assert history == [i for items in expected[user].values() for i in items][-7:]

    def test_an_earlier_run_comes_first(self, out: Path, tmp_path: Path) -> None:
        self._write(out, timed=True)
        write_sequences(out, out, size=5)
        before = tmp_path / "before.parquet"
        first = pl.read_parquet(out / "sequences.parquet")
        first.write_parquet(before)
        write_sequences(out, out, size=5, earlier=before)
        found = pl.read_parquet(out / "sequences.parquet")
        assert found["test"].to_list() == first["test"].to_list()
        expected = first.select(pl.concat_list("train", "validation", "test", "train"))
        assert found["train"].to_list() == expected.to_series().to_list()
