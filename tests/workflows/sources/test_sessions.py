"""Sessions: runs of a user's rows without a gap, against a loop over the rows."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from towermill.errors import DataError
from towermill.workflows.sources.sessions import cut_sessions
from towermill.workflows.sources.table import Table
from towermill.workflows.streaming import partition

BEGIN = datetime(2024, 1, 1)


def log(rows: int = 400, text: bool = False) -> pl.DataFrame:
    rng = np.random.default_rng(5)
    users = pl.Series("user_id", rng.integers(0, 12, rows))
    minutes = rng.integers(0, 3000, rows) * 10  # some rows of a user are of one time
    return pl.DataFrame(
        {
            "user_id": "d-" + users.cast(pl.String) if text else users,
            "item_id": np.arange(rows),
            "timestamp": [BEGIN + timedelta(minutes=int(m)) for m in minutes],
        },
        schema_overrides={"timestamp": pl.Datetime("us")},
    )


def slowly(frame: pl.DataFrame, gap: timedelta) -> dict[int, str]:
    """Return the session of each item, of which each has one row."""
    found: dict[int, str] = {}
    last: dict[Any, tuple[datetime, str]] = {}
    for row in frame.sort("timestamp").iter_rows(named=True):
        user, time = row["user_id"], row["timestamp"]
        before = last.get(user)
        new = before is None or time - before[0] > gap
        name = f"{user}-{time:%Y%m%dT%H%M%S}" if new or before is None else before[1]
        last[user] = (time, name)
        found[row["item_id"]] = name
    return found


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("minutes", [5, 30, 600])
def test_each_row_has_its_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minutes: int, text: bool
) -> None:
    monkeypatch.setattr(partition, "PART_ROWS", 70)
    frame, gap = log(text=text), timedelta(minutes=minutes)
    out = cut_sessions(frame.lazy(), gap, tmp_path).collect()
    assert out.columns == frame.columns
    assert dict(out.select("item_id", "user_id").iter_rows()) == slowly(frame, gap)
    ordered = out.sort("user_id", "timestamp", "item_id")
    assert out.sort("user_id", maintain_order=True).equals(ordered)


def test_the_order_of_rows_does_not_matter(tmp_path: Path) -> None:
    frame, gap, found = log(), timedelta(hours=2), []
    for name, one in {"as it is": frame, "reversed": frame.reverse()}.items():
        (tmp_path / name).mkdir()
        found.append(cut_sessions(one.lazy(), gap, tmp_path / name).collect().sort("item_id"))
    assert found[0].equals(found[1])


def test_exactly_the_gap_is_one_session(tmp_path: Path) -> None:
    times = [BEGIN, BEGIN + timedelta(minutes=30), BEGIN + timedelta(minutes=60, seconds=1)]
    frame = pl.DataFrame({"user_id": [1] * 3, "item_id": [1, 2, 3], "timestamp": times})
    out = cut_sessions(frame.lazy(), timedelta(minutes=30), tmp_path).collect()
    assert out["user_id"].to_list() == ["1-20240101T000000"] * 2 + ["1-20240101T010001"]


def test_missing_users_stay_missing(tmp_path: Path) -> None:
    frame = log(6).with_columns(user_id=pl.Series([1, None, 1, None, 2, 2]))
    out = cut_sessions(frame.lazy(), timedelta(minutes=1), tmp_path).collect().sort("item_id")
    assert out["user_id"].is_null().to_list() == [False, True, False, True, False, False]


def test_without_rows(tmp_path: Path) -> None:
    out = cut_sessions(log(4).lazy().limit(0), timedelta(minutes=1), tmp_path).collect()
    assert out.schema["user_id"] == pl.String


class TestErrors:
    def test_no_timestamp(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"needs a timestamp.*Found columns: user_id"):
            cut_sessions(log().drop("timestamp").lazy(), timedelta(1), tmp_path)

    def test_null_timestamps(self, tmp_path: Path) -> None:
        known = pl.when(pl.col("item_id") > 1).then("timestamp").alias("timestamp")
        frame = log().with_columns(known)
        with pytest.raises(DataError, match="Found 2 null ones"):
            cut_sessions(frame.lazy(), timedelta(1), tmp_path)

    @pytest.mark.parametrize("gap", ["30", "m", "0m", "1.5h", "30 m", "-3s", "9999999d"])
    def test_durations(self, gap: str) -> None:
        source = {"interactions": {"path": "x.csv", "session_gap": gap}}
        with pytest.raises(ValidationError, match=r"a unit \(s, m, h or d\)"):
            Table.model_validate(source)

    def test_users_of_sessions(self) -> None:
        source = {"interactions": {"path": "x.csv", "session_gap": "1h"}, "users": {"path": "y"}}
        with pytest.raises(ValidationError, match="should be left out"):
            Table.model_validate(source)


def test_table(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(
        "device,item_id,at,event\nb,1,1700000000,view\na,2,1700000100,buy\n"
        "b,3,1700001800,view\nb,4,1700003601,buy\n"
    )
    log = {"path": str(tmp_path / "log.csv"), "user_id": "device", "timestamp": "at"}
    source = {"interactions": {**log, "signals": ["event"], "session_gap": "30m"}}
    rows = Table.model_validate(source).reading_as_text(["event"]).read(tmp_path).interactions
    assert rows.select("user_id", "item_id", "event").collect().rows() == [
        ("a-20231114T221500", 2, "buy"),
        ("b-20231114T221320", 1, "view"),
        ("b-20231114T221320", 3, "view"),
        ("b-20231114T231321", 4, "buy"),
    ]
