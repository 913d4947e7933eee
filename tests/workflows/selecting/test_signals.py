"""Conditions on signals: Polars expressions, and masks of pandas and Arrow columns."""

from __future__ import annotations

from typing import Any

import pandas as pd
import polars as pl
import pytest
from pydantic import TypeAdapter, ValidationError

from towermill.errors import DataError
from towermill.workflows.selecting.signals import (
    AllOf,
    Condition,
    Wanted,
    conditions_of,
    require_signals,
    require_values,
)

FRAME = pl.DataFrame(
    {
        "event": ["view", "buy", None, "cart", "buy"],
        "click": [0, 1, 2, None, 5],
        "stars": [1.0, float("nan"), None, 3.5, 4.0],
        "single": pl.Series([3.3, 3.2, None, 4.7, float("nan")], dtype=pl.Float32),
    }
)
WANTED: list[dict[str, Any]] = [
    {"event": ["cart", "buy"]},
    {"event": ["view"]},
    {"click": 1},
    {"click": [0, 5]},
    {"stars": 3.5},
    {"stars": [1, 4.0]},
    {"event": ["buy"], "click": 2},
    {"single": 3.3},
    {"single": [3.3, 4.7]},
]


def slowly(row: dict[str, Any], wanted: dict[str, Any]) -> bool:
    def meets(value: Any, one: Any) -> bool:
        if value is None or value != value:
            return False
        if isinstance(value, float):  # a float32 number as it was written
            value = float(f"{value:.6g}")
        return value in one if isinstance(one, list) else value >= one

    return all(meets(row[name], one) for name, one in wanted.items())


@pytest.mark.parametrize("wanted", WANTED)
class TestSameRows:
    def test_polars(self, wanted: dict[str, Any]) -> None:
        exprs = [condition.expr() for condition in conditions_of(wanted)]
        found = FRAME.filter(*exprs)
        expected = FRAME.filter([slowly(row, wanted) for row in FRAME.iter_rows(named=True)])
        assert found.equals(expected)

    @pytest.mark.parametrize("arrow", [False, True])
    def test_pandas(self, wanted: dict[str, Any], arrow: bool) -> None:
        frame = FRAME.to_pandas(use_pyarrow_extension_array=arrow)
        mask = AllOf(conditions_of(wanted))(frame)
        expected = [slowly(row, wanted) for row in FRAME.iter_rows(named=True)]
        assert pd.Series(mask).fillna(False).tolist() == expected

    def test_row_groups_that_may_hold_one(self, wanted: dict[str, Any]) -> None:
        keep = AllOf(conditions_of(wanted))
        assert keep.columns == tuple(wanted)
        for row in FRAME.iter_rows(named=True):
            known = {name: value for name, value in row.items() if value is not None}
            assert keep.can_hold(known) or not slowly(row, wanted)


class TestCondition:
    def test_row_groups_below_all_values_hold_none(self) -> None:
        assert not AllOf((Condition("event", ("cart", "buy")),)).can_hold({"event": "add"})
        assert not AllOf((Condition("click", (3, 2)),)).can_hold({"click": 1})
        assert AllOf((Condition("click", (3, 2)),)).can_hold({"click": 2})

    @pytest.mark.parametrize(
        ("wanted", "text"),
        [(1.0, "{s: 1}"), (["a", 2], "{s: [a, 2]}"), ([0.5, 3.0], "{s: [0.5, 3]}")],
    )
    def test_as_the_recipe_writes_it(self, wanted: Any, text: str) -> None:
        assert str(Condition.of("s", wanted)) == text

    def test_numbers_among_text(self) -> None:
        frame = pl.DataFrame({"code": ["1", "x", "1.0"]})
        found = frame.filter(Condition.of("code", ["x", 1]).expr())
        assert found["code"].to_list() == ["1", "x"]

    @pytest.mark.parametrize("wanted", [[], [float("nan")], "buy", [None]])
    def test_refused_in_a_recipe(self, wanted: Any) -> None:
        with pytest.raises(ValidationError):
            TypeAdapter(Wanted).validate_python(wanted)


class TestRequire:
    @pytest.mark.parametrize(
        ("wanted", "message"),
        [
            ({"evnt": ["buy"]}, "Did you mean 'event'"),
            ({"event": 1}, r"`k: \{event: 1\}`.*which holds text. Write a list of its values"),
            ({"event": [1, 2]}, "which holds text.*in quotes"),
            ({"click": ["buy"]}, "which holds numbers. Write a minimum, or a list of numbers"),
        ],
    )
    def test_signals(self, wanted: Any, message: str) -> None:
        with pytest.raises(DataError, match=message):
            require_signals(FRAME.lazy(), wanted, "k")

    @pytest.mark.parametrize("wanted", WANTED)
    def test_what_is_right(self, wanted: Any) -> None:
        require_signals(FRAME.lazy(), wanted, "k")
        require_values(FRAME.lazy(), wanted, "k")

    def test_a_value_that_never_occurs(self) -> None:
        message = "`k` lists buyy of 'event', which no interaction has. Did you mean 'buy'.* "
        with pytest.raises(DataError, match=message + "Its values are: buy, cart, view"):
            require_values(FRAME.lazy(), {"event": ["buy", "buyy"]}, "k")
        with pytest.raises(DataError, match=r"lists 7 of 'click'.*Its values are: 0, 1, 2, 5\."):
            require_values(FRAME.lazy(), {"click": [1, 7]}, "k")

    def test_of_many_values_some_are_shown(self) -> None:
        frame = pl.LazyFrame({"event": [f"e{i:03}" for i in range(300)]})
        with pytest.raises(DataError, match=r"… \(300 in all\)"):
            require_values(frame, {"event": ["x"]}, "k")
