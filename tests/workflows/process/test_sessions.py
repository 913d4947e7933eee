"""Sessions: held-out ones carry their own earlier items, encoded."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest

from towermill.models.data.interactions import Processed

BEGIN = datetime(2024, 1, 1)
SESSIONS = {
    "a": "xyx",
    "b": "yxz",
    "c": "zx",
    "d": "yx",
    "e": "xzy",  # validation
    "f": "x?zyx",  # test: an item that training does not know
}


@pytest.fixture
def log() -> pl.DataFrame:
    rows = [
        (session, item, BEGIN + timedelta(hours=number, minutes=place))
        for number, (session, items) in enumerate(SESSIONS.items())
        for place, item in enumerate(items)
    ]
    return pl.DataFrame(rows, ["user_id", "item_id", "timestamp"], orient="row")


@pytest.fixture
def made(mill: Any, log: pl.DataFrame) -> Any:
    split = {"kind": "session", "validation": 0.17, "test": 0.17}
    return mill(log, split=split, history=True, history_size=3)


def test_rows(made: Any) -> None:
    names = dict(made.items.select("item_id", "raw_item_id").iter_rows())
    assert made.train.height == 10
    assert made.train["history"].to_list() == [[]] * 10
    assert [names[item] for item in made.test["item_id"]] == ["x"]
    assert [names.get(item) for item in made.test["history"].item()] == ["x", None, "z", "y"]
    assert [names.get(item) for item in made.split("validation")["history"].item()] == ["x", "z"]


def test_users_are_those_of_training(made: Any) -> None:
    assert sorted(made.users["raw_user_id"]) == ["a", "b", "c", "d"]
    assert made.users["history"].list.len().max() == 3
    assert made.stats["summary"]["splits"]["test"]["rows"] == 1


def test_queries_are_the_session_so_far(made: Any) -> None:
    data = Processed(made.path)
    names = dict(made.items.select("item_id", "raw_item_id").iter_rows())
    histories = data.queries("test").features["history"].to_list()
    assert [[names[item] for item in history] for history in histories] == [["x", "z", "y"]]
    train = data.query_sample(3)["history"].to_list()
    assert [len(history) for history in train] == [3, 3, 3]
