"""Feature kinds: the raw columns they take, their options, and how they are found by name."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError

from towermill.errors import DataError
from towermill.features.config import Feature

WHEN = datetime(2024, 5, 31, 23, 59, 1)
SECONDS = int(WHEN.replace(tzinfo=UTC).timestamp())


class TestCast:
    @pytest.mark.parametrize(
        ("kind", "values", "expected"),
        [
            ("category", ["a", None], ["a", None]),
            ("category", [1, 2], [1, 2]),
            ("list", ["a|b", "", None], [["a", "b"], [], None]),
            ("list", [[1], [2, 3]], [[1], [2, 3]]),
            ("number", [1.5, None], [1.5, None]),
            ("number", [True, False], [True, False]),
            ("age", ["2024-05-31"], [datetime(2024, 5, 31)]),
            ("hour", [SECONDS], [WHEN]),
            ("title", ["A"], ["A"]),
            ("title", [1], ["1"]),
        ],
    )
    def test_read(self, kind: Any, values: list[Any], expected: list[Any]) -> None:
        frame = pl.LazyFrame({"f": values})
        feature = Feature(kind=kind)
        out = frame.select(feature.encoder.cast(frame, "f", feature, "t")).collect()
        assert out["f"].to_list() == expected

    @pytest.mark.parametrize(
        ("kind", "values"),
        [
            ("number", ["1"]),
            ("list", [1]),
            ("category", [[1]]),
            ("category", [WHEN]),
            ("title", [[1]]),
            ("hour", ["noon"]),
        ],
    )
    def test_refused(self, kind: Any, values: list[Any]) -> None:
        frame, feature = pl.LazyFrame({"f": values}), Feature(kind=kind)
        with pytest.raises(DataError, match="'f' should hold"):
            feature.encoder.cast(frame, "f", feature, "t")


class TestNames:
    def test_unknown(self) -> None:
        with pytest.raises(
            ValidationError, match=r"No feature kind 'numbr'\. Did you mean 'number'"
        ):
            Feature(kind="numbr")

    def test_not_a_kind(self) -> None:
        with pytest.raises(ValidationError, match=r"should be importable"):
            Feature(kind="towermill.features.number:Nothing")

    def test_the_kind_of_bundles_alone(self) -> None:
        feature = Feature(kind="encoded")
        assert "made from raw values" in str(feature.encoder.check(feature))

    @pytest.mark.parametrize("kind", ["category", "list", "number", "hour", "age", "title"])
    def test_own_kinds_take_no_options_of_others(self, kind: str) -> None:
        feature = Feature(kind=kind, options={"base": 10})
        assert "options of its own" in str(feature.encoder.check(feature))
