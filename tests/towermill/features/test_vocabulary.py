"""The placeholder of a missing value is no value of the vocabulary."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from towermill.features.shared.vocabulary import first_unused


class TestMissing:
    @pytest.mark.parametrize(
        ("values", "kind", "expected"),
        [
            (["a"], "string", ""),
            (["a", ""], "string", "\0"),
            (["", "\0", "b\0"], "string", "\0\0"),
            ([5, -1], "int64", -(2**63)),
            ([-(2**63), 5], "int64", -(2**63) + 1),
        ],
    )
    def test_is_no_value_of_the_training(self, values: Any, kind: str, expected: Any) -> None:
        assert first_unused(pl.Series(values), kind) == expected
