"""Splits: a partition, cut where they should be, the same each time."""

from __future__ import annotations

import tempfile
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from towermill.errors import DataError
from towermill.workflows.selecting.split import Split, split
from towermill.workflows.sources.movielens import MovieLens
from towermill.workflows.streaming import order_statistics as selection
from towermill.workflows.streaming import partition as partitions

SHARED = Path(__file__).parents[4] / "shared" / "data" / "ml-100k"
START = datetime(2024, 1, 1)
NAMES = ("train", "validation", "test")


def make(users: list[Any], days: list[int] | None = None, **columns: list[Any]) -> pl.DataFrame:
    """Return rows numbered in `row`, each of item 0 unless given."""
    data: dict[str, Any] = {"user_id": users, "item_id": [0] * len(users), **columns}
    if days is not None:
        data["timestamp"] = [START + timedelta(days=day) for day in days]
    return pl.DataFrame(data).with_row_index("row")


def rows(frame: pl.DataFrame, **config: Any) -> dict[str, list[int]]:
    before = frame.clone()
    with tempfile.TemporaryDirectory() as scratch:
        parts = split(frame.lazy(), Split(**config), Path(scratch)).parts
    assert frame.equals(before)
    assert list(parts) in (["train", "validation", "test"], ["train", "test"])
    return {name: part.collect(engine="streaming")["row"].to_list() for name, part in parts.items()}


class TestTime:
    def test_shares(self) -> None:
        found = rows(make([0] * 10, list(range(10))), validation=0.2, test=0.1)
        assert found == {"train": [0, 1, 2, 3, 4, 5, 6], "validation": [7, 8], "test": [9]}

    def test_order_of_rows_does_not_matter(self) -> None:
        days = [3, 9, 0, 7, 1, 8, 2, 6, 5, 4]
        found = rows(make([0] * 10, days), validation=0.2, test=0.1)
        assert {name: sorted(days[row] for row in part) for name, part in found.items()} == {
            "train": [0, 1, 2, 3, 4, 5, 6],
            "validation": [7, 8],
            "test": [9],
        }

    def test_rows_of_one_moment_go_to_the_later_split_together(self) -> None:
        found = rows(make([0] * 10, [0, 1, 2, 3, 4, 5, 6, 6, 9, 9]), validation=0.2, test=0.1)
        assert found == {"train": [0, 1, 2, 3, 4, 5], "validation": [6, 7], "test": [8, 9]}

    def test_dates(self) -> None:
        config = {"validation": date(2024, 1, 3), "test": date(2024, 1, 5)}
        found = rows(make([0] * 6, [0, 1, 2, 3, 4, 5]), **config)
        assert found == {"train": [0, 1], "validation": [2, 3], "test": [4, 5]}
        assert Split(**config) == Split.model_validate(
            {"validation": "2024-01-03", "test": "2024-01-05"}
        )

    def test_no_valid(self) -> None:
        frame = make([0] * 4, [0, 1, 2, 3])
        assert rows(frame, validation=0, test=0.25) == {"train": [0, 1, 2], "test": [3]}
        assert rows(frame, validation=0, test=date(2024, 1, 4)) == {"train": [0, 1, 2], "test": [3]}

    def test_no_timestamp(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"needs a timestamp.*user_id, item_id"):
            split(make([0, 1]).lazy(), Split(), tmp_path)

    def test_null_timestamp(self, tmp_path: Path) -> None:
        frame = make([0, 1], [0, 1]).with_columns(timestamp=None)
        frame = frame.with_columns(pl.col("timestamp").cast(pl.Datetime("us")))
        with pytest.raises(DataError, match="2 null"):
            split(frame.lazy(), Split(), tmp_path)

    @pytest.mark.parametrize(
        ("days", "config", "message"),
        [
            ([5] * 10, {}, "train is empty. Sizes: train 0, validation 0, test 10"),
            ([0, 1, 2, 3], {}, "Of 4 rows, test=0.1 makes 0"),
            (
                [0, 1],
                {"validation": 0, "test": date(2025, 1, 1)},
                "test is empty. Sizes: train 2, test 0",
            ),
        ],
    )
    def test_empty(
        self, tmp_path: Path, days: list[int], config: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(DataError, match=message):
            split(make([0] * len(days), days).lazy(), Split(**config), tmp_path)


class TestLeaveOneOut:
    def test_by_time_then_row(self) -> None:
        # User 0: rows 0 (day 5), 2 (day 1), 4 (day 3). User 1: rows 1, 3, 5, all on day 2.
        # User 2: two rows only.
        frame = make([0, 1, 0, 1, 0, 1, 2, 2], [5, 2, 1, 2, 3, 2, 8, 9])
        found = rows(frame, kind="leave_one_out")
        assert found == {"train": [1, 2, 6, 7], "validation": [3, 4], "test": [0, 5]}

    def test_without_timestamps(self) -> None:
        # The order of the file would pass for that of time.
        with pytest.raises(DataError, match="needs a timestamp in the interactions, to know each"):
            rows(make([0, 1, 0, 1, 0, 1]), kind="leave_one_out")

    def test_no_valid(self) -> None:
        found = rows(make([0, 0, 0], [1, 2, 3]), kind="leave_one_out", validation=0)
        assert found == {"train": [0, 1], "test": [2]}

    def test_nobody_has_three(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="Sizes: train 4, validation 0, test 0"):
            split(make([0, 0, 1, 1], [1] * 4).lazy(), Split(kind="leave_one_out"), tmp_path)


class TestRandom:
    def test_exact_shares_and_partition(self) -> None:
        found = rows(make([0] * 1003), kind="random", validation=0.29, test=0.1)
        assert {name: len(part) for name, part in found.items()} == {
            "train": 613,
            "validation": 290,
            "test": 100,
        }
        assert sorted(row for part in found.values() for row in part) == list(range(1003))
        assert all(part == sorted(part) for part in found.values())

    def test_seed(self) -> None:
        frame = make([0] * 200)
        found = rows(frame, kind="random")
        assert found == rows(frame, kind="random")
        assert found["test"] != rows(frame, kind="random", seed=1)["test"]
        # So small that every release must give the same.
        assert rows(make([0] * 10), kind="random") == {
            "train": [0, 1, 2, 3, 4, 5, 7, 9],
            "validation": [6],
            "test": [8],
        }

    def test_rows_are_spread_evenly(self) -> None:
        found = np.array(rows(make([0] * 50_000), kind="random", seed=3)["test"])
        counts = np.histogram(found, bins=10, range=(0, 50_000))[0]
        assert abs(counts - 500).max() < 100

    def test_by_user_counts_as_recbole_does(self) -> None:
        # RecBole's calcu_split_ids, in its own words.
        def recbole(total: int, ratios: list[float]) -> list[int]:
            cnt = [int(ratio * total) for ratio in ratios]
            cnt[0] = total - sum(cnt[1:])
            for i in range(1, len(ratios)):
                if cnt[0] <= 1:
                    break
                if 0 < ratios[-i] * total < 1:
                    cnt[-i] += 1
                    cnt[0] -= 1
            return cnt

        users = [user for user in range(1, 41) for _ in range(user)]
        frame = make(users)
        for validation, test in ((0.1, 0.1), (0.05, 0.3), (0.4, 0.4)):
            found = rows(
                frame, kind="random", by="user", validation=validation, test=test, cold="keep"
            )
            assert sorted(row for part in found.values() for row in part) == list(range(len(users)))
            for user in range(1, 41):
                counts = [sum(users[row] == user for row in part) for part in found.values()]
                assert counts == recbole(user, [1 - validation - test, validation, test])

    def test_by_user_without_valid(self) -> None:
        found = rows(make([0] * 10 + [1] * 5), kind="random", by="user", validation=0, test=0.2)
        assert len(found["test"]) == 3
        assert list(found) == ["train", "test"]

    def test_by_user_seed(self) -> None:
        frame = make([0] * 50 + [1] * 50)
        one = rows(frame, kind="random", by="user")
        assert one == rows(frame, kind="random", by="user")
        assert one != rows(frame, kind="random", by="user", seed=1)


class TestGiven:
    def test_column_is_taken_and_taken_away(self, tmp_path: Path) -> None:
        frame = make([0] * 3, split=["test", "train", "validation"])
        assert rows(frame, kind="given") == {"train": [1], "validation": [2], "test": [0]}
        parts = split(frame.lazy(), Split(kind="given"), tmp_path).parts
        assert "split" not in parts["train"].collect_schema()

    def test_no_valid(self) -> None:
        frame = make([0] * 3, split=["test", "train", "train"])
        assert rows(frame, kind="given") == {"train": [1, 2], "test": [0]}

    @pytest.mark.parametrize("strange", ["holdout", None])
    def test_strange_value(self, tmp_path: Path, strange: str | None) -> None:
        with pytest.raises(DataError, match=f"Found also: {strange!r}"):
            split(make([0, 0], split=["train", strange]).lazy(), Split(kind="given"), tmp_path)

    def test_no_column(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="needs a column 'split'"):
            split(make([0, 0]).lazy(), Split(kind="given"), tmp_path)


class TestCold:
    #: Item 9 and user 7 come up after training: rows 4 and 6 have a cold item, 5 and 6 a cold user.
    FRAME = make(
        [1, 2, 1, 1, 2, 7, 7, 2],
        list(range(8)),
        split=["train"] * 3 + ["validation"] * 2 + ["test"] * 3,
        item_id=[5, 5, 6, 6, 9, 5, 9, 6],
    )

    def test_drop(self) -> None:
        found = rows(self.FRAME, kind="given")
        assert found == {"train": [0, 1, 2], "validation": [3], "test": [7]}

    def test_keep(self) -> None:
        found = rows(self.FRAME, kind="given", cold="keep")
        assert found == {"train": [0, 1, 2], "validation": [3, 4], "test": [5, 6, 7]}

    def test_flag(self, tmp_path: Path) -> None:
        parts = split(self.FRAME.lazy(), Split(kind="given", cold="flag"), tmp_path).parts
        flags = {
            name: part.select("row", "cold_user", "cold_item").collect().rows()
            for name, part in parts.items()
            if name != "train"
        }
        assert flags == {
            "validation": [(3, False, False), (4, False, True)],
            "test": [(5, True, False), (6, True, True), (7, False, False)],
        }
        assert "cold_user" not in parts["train"].collect_schema()

    def test_all_cold(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"test is empty.*train 1, test 0; 1 rows with a cold"):
            split(make([0, 1], split=["train", "test"]).lazy(), Split(kind="given"), tmp_path)


class TestConfig:
    @pytest.mark.parametrize(
        ("config", "message"),
        [
            (
                {"validation": 0.5, "test": 0.5},
                "both together below 1. Received: validation=0.5, test=0.5",
            ),
            ({"test": 0}, "above 0"),
            ({"validation": -0.1}, "at least 0"),
            ({"validation": float("nan")}, "finite number"),
            ({"test": date(2024, 1, 1)}, "should be a date, or 0"),
            ({"validation": date(2024, 1, 1)}, "both be dates"),
            ({"validation": date(2024, 2, 1), "test": date(2024, 1, 1)}, "before `split.test`"),
            ({"kind": "random", "validation": 0, "test": date(2024, 1, 1)}, "should be a share"),
        ],
    )
    def test_out_of_range(self, config: dict[str, Any], message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            Split(**config)

    def test_unknown_key(self) -> None:
        with pytest.raises(ValidationError):
            Split.model_validate({"kind": "time", "share": 0.1})


def random_frame(seed: int, *, strings: bool, times: bool) -> pl.DataFrame:
    """Return 400 rows of some 60 users, some with a single one, with many times alike."""
    rng = np.random.default_rng(seed)
    users: list[Any] = (rng.beta(0.6, 2, 400) * 60).astype(int).tolist()
    if strings:
        users = [f"u{user}" for user in users]
    return make(users, rng.integers(0, 50, 400).tolist() if times else None)


def slow_shares(frame: pl.DataFrame, config: Split) -> dict[str, list[int]]:
    """Return `random` splits by sorting row numbers in plain Python."""

    def number(row: int) -> int:
        z = (row + (config.seed + 1) * 0xD1342543DE82EF95) * 0x9E3779B97F4A7C15 % 2**64
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
        return z ^ z >> 31

    assert isinstance(config.validation, float)
    assert isinstance(config.test, float)
    if config.by == "row":
        order = sorted(range(frame.height), key=number)
        n_valid, n_test = (int(share * frame.height) for share in (config.validation, config.test))
        cut = [order[n_test + n_valid :], order[n_test : n_test + n_valid], order[:n_test]]
        return {name: sorted(part) for name, part in zip(NAMES, cut, strict=True)}
    parts: dict[str, list[int]] = {name: [] for name in NAMES}
    for user in set(frame["user_id"]):
        own = sorted(frame.filter(pl.col("user_id") == user)["row"].to_list(), key=number)
        n_valid, n_test = int(config.validation * len(own)), int(config.test * len(own))
        n_test += len(own) - n_valid - n_test > 1 and 0 < config.test * len(own) < 1
        n_valid += len(own) - n_valid - n_test > 1 and 0 < config.validation * len(own) < 1
        ends = [0, len(own) - n_valid - n_test, len(own) - n_test, len(own)]
        for name, start, end in zip(NAMES, ends, ends[1:], strict=False):
            parts[name] += own[start:end]
    return {name: sorted(part) for name, part in parts.items()}


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("strings", [False, True])
class TestSlowly:
    """Beside plain formulas, with parts and passes so small that there are several."""

    @pytest.fixture(autouse=True)
    def small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(partitions, "PART_ROWS", 90)
        monkeypatch.setattr(selection, "_FEW", 20)
        monkeypatch.setattr(selection, "_BUCKETS", 9)

    def test_time(self, seed: int, strings: bool) -> None:
        frame = random_frame(seed, strings=strings, times=True)
        times = frame["timestamp"].to_list()
        first, last = sorted(times)[-120], sorted(times)[-40]
        found = rows(frame, validation=0.2, test=0.1, cold="keep")
        assert found == {
            "train": [row for row, at in enumerate(times) if at < first],
            "validation": [row for row, at in enumerate(times) if first <= at < last],
            "test": [row for row, at in enumerate(times) if at >= last],
        }

    def test_leave_one_out(self, seed: int, strings: bool) -> None:
        frame = random_frame(seed, strings=strings, times=True)
        expected: dict[str, list[int]] = {name: [] for name in NAMES}
        for user in set(frame["user_id"]):
            own = frame.filter(pl.col("user_id") == user)
            own = own.sort(["timestamp", "row"])
            cut = own.height - 2 if own.height > 2 else own.height
            order = own["row"].to_list()
            expected["train"] += order[:cut]
            expected["validation"] += order[cut : cut + 1]
            expected["test"] += order[cut + 1 :]
        found = rows(frame, kind="leave_one_out", cold="keep")
        assert found == {name: sorted(part) for name, part in expected.items()}

    @pytest.mark.parametrize("by", ["row", "user"])
    def test_random(self, seed: int, strings: bool, by: str) -> None:
        frame = random_frame(seed, strings=strings, times=False)
        for validation, test in ((0.1, 0.1), (0.3, 0.05), (0.25, 0.5)):
            config = {
                "by": by,
                "validation": validation,
                "test": test,
                "seed": seed,
                "cold": "keep",
            }
            expected = slow_shares(frame, Split(kind="random", **config))
            assert rows(frame, kind="random", **config) == expected


@pytest.mark.skipif(not SHARED.is_dir(), reason="no shared data")
class TestReal:
    @pytest.mark.parametrize(
        "config",
        [
            {"kind": "time"},
            {"kind": "leave_one_out"},
            {"kind": "random"},
            {"kind": "random", "by": "user"},
        ],
    )
    def test_partition(self, config: dict[str, Any], tmp_path: Path) -> None:
        frame = MovieLens(path=str(SHARED)).read(tmp_path).interactions
        parts = split(frame, Split(**config, cold="keep"), tmp_path).parts
        together = pl.concat([part.collect(engine="streaming") for part in parts.values()])
        key = ["user_id", "item_id"]
        assert together.sort(key).equals(frame.collect().sort(key))
        again = split(frame, Split(**config, cold="keep"), tmp_path).parts
        assert all(parts[name].collect().equals(again[name].collect()) for name in parts)


class TestMinSignal:
    frame = pl.LazyFrame(
        {
            "user_id": [1] * 8,
            "item_id": [1, 2, 1, 2, 1, 2, 1, 2],
            "timestamp": [datetime(2024, 1, day) for day in range(1, 9)],
            "rating": [1.0, 5.0, 2.0, 5.0, 4.0, 3.0, None, 5.0],
        }
    )

    def test_answers_are_at_least_so_much(self, tmp_path: Path) -> None:
        config = Split(kind="time", validation=0.25, test=0.25, min_signal={"rating": 4})
        found = split(self.frame, config, tmp_path).parts
        ratings = {name: part.collect()["rating"].to_list() for name, part in found.items()}
        assert ratings == {"train": [1.0, 5.0, 2.0, 5.0], "validation": [4.0], "test": [5.0]}

    def test_unknown_signal(self, tmp_path: Path) -> None:
        config = Split(kind="time", min_signal={"ratings": 4})
        with pytest.raises(DataError, match=r"`split.min_signal` names 'ratings'.*rating"):
            split(self.frame, config, tmp_path)

    def test_nothing_left(self, tmp_path: Path) -> None:
        config = Split(kind="time", validation=0.25, test=0.25, min_signal={"rating": 6})
        with pytest.raises(DataError, match="should leave rows in each split"):
            split(self.frame, config, tmp_path)
