"""Slices by features against slow counts."""

from __future__ import annotations

import functools
import operator
from typing import Any

import numpy as np
import polars as pl
import pytest

from towermill.models.evaluation.feature_slices import MOST_VALUES, feature_slices


def of(values: list[object], number: bool = False, **options: object) -> dict[str, list[int]]:
    table = pl.DataFrame({"raw_user_id": np.arange(len(values)), "raw_thing": values}, **options)
    if number:
        table = table.with_columns(pl.col("raw_thing").cast(pl.Float32).alias("thing"))
    found = feature_slices(table, "user")
    return {
        name.removeprefix("user thing:"): np.flatnonzero(m).tolist() for name, m in found.items()
    }


class TestValues:
    def test_most_frequent_first_and_null_in_none(self) -> None:
        assert of(["a", "b", None, "b"]) == {"b": [1, 3], "a": [0]}

    def test_booleans_and_few_numbers(self) -> None:
        assert of([True, False, True]) == {"True": [0, 2], "False": [1]}
        assert of([3, 1, 3]) == {"3": [0, 2], "1": [1]}

    def test_a_row_with_two_values_is_in_two_slices(self) -> None:
        assert of([["a", "b"], ["b", "b"], [], None]) == {"b": [0, 1], "a": [0]}

    def test_ids_and_free_text_are_left_out(self) -> None:
        assert of([f"text {n}" for n in range(20)]) == {}
        many = ["a"] * 12 + [f"text {n}" for n in range(12)]
        assert next(iter(of(many))) == "a"
        assert len(of(many)) == MOST_VALUES

    def test_one_value_tells_nothing(self) -> None:
        assert of(["a", "a"]) == {}
        assert of([None, None]) == {}


class TestNumbers:
    @pytest.mark.parametrize("dtype", [pl.Int32, pl.Float32])
    def test_quartiles_hold_each_row_once(self, dtype: type) -> None:
        values = np.random.default_rng(0).permutation(100).tolist()
        found = of(values, True, schema_overrides={"raw_thing": dtype})
        assert list(found) == ["0 to 25", "26 to 50", "51 to 74", "75 to 99"]
        for name, rows in found.items():
            low, high = map(int, name.split(" to "))
            assert rows == [at for at, value in enumerate(values) if low <= value <= high]

    def test_nulls_and_nan_are_in_none(self) -> None:
        found = of([*map(float, range(10)), None, float("nan")], True)
        assert sorted(functools.reduce(operator.iadd, found.values(), [])) == list(range(10))

    def test_mostly_one_value(self) -> None:
        found = of([0] * 90 + list(range(10)), True)
        assert sorted(functools.reduce(operator.iadd, found.values(), [])) == list(range(100))

    @pytest.mark.parametrize(
        "values",
        [
            [1_700_000_000 + at for at in range(100)],
            [10_000_000 + at for at in range(100)],
            [1 + at * 1e-9 for at in range(100)],
        ],
    )
    def test_close_numbers_have_names_of_their_own(self, values: list[Any]) -> None:
        found = of(values, True)
        assert len(found) == 4
        assert sum(map(len, found.values())) == 100

    def test_codes_are_no_numbers(self) -> None:
        assert list(of([7, 7, 9, 9, 9, 3, 1, 2, 4, 5, 6, 8, 10, 11])) == [
            "9",
            "7",
            "1",
            "2",
            "3",
            "4",
        ]
        assert of(list(range(100))) == {}


def test_reserved_columns_are_no_features() -> None:
    table = pl.DataFrame({"item_id": [3, 4], "raw_item_id": [1, 2], "train_count": [5, 6]})
    assert feature_slices(table, "item") == {}
