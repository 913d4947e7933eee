"""Order statistics and random numbers of rows, beside NumPy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

from towermill.workflows.streaming import order_statistics as selection
from towermill.workflows.streaming.order_statistics import kth_smallest, mixed


def splitmix(rows: npt.NDArray[np.uint64], seed: int) -> npt.NDArray[np.uint64]:
    """Return what `mixed` should, in NumPy's wrapping arithmetic."""
    offset = np.array([seed + 1], np.uint64) * np.uint64(0xD1342543DE82EF95)
    z = (rows + offset) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


class TestKthSmallest:
    @pytest.fixture(autouse=True)
    def narrow(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let a few hundred rows take several passes."""
        monkeypatch.setattr(selection, "_FEW", 5)
        monkeypatch.setattr(selection, "_BUCKETS", 7)

    @pytest.mark.parametrize("kind", [np.int64, np.uint64])
    @pytest.mark.parametrize("spread", ["whole", "narrow", "ties", "one"])
    def test_is_that_of_a_sort(self, kind: Any, spread: str) -> None:
        rng, ends = np.random.default_rng(0), np.iinfo(kind)
        values = {
            "whole": rng.integers(ends.min, ends.max, 300, kind, endpoint=True),
            "narrow": rng.integers(ends.max - 1000, ends.max, 300, kind, endpoint=True),
            "ties": rng.integers(0, 4, 300, kind),
            "one": np.full(300, ends.min, kind),
        }[spread]
        if spread == "whole":
            values[:4] = ends.min, ends.min, ends.max, ends.max
        frame = pl.DataFrame({"value": values}).lazy()
        for k in (1, 2, 3, 150, 298, 299, 300):
            expected = int(np.partition(values, k - 1)[k - 1])
            assert kth_smallest(frame, pl.col("value"), k) == expected

    def test_of_an_expression(self) -> None:
        frame = pl.DataFrame({"value": [3, 1, 2]}).lazy()
        assert kth_smallest(frame, pl.col("value") * 10, 2) == 20

    @pytest.mark.parametrize("k", [0, 4, -1])
    def test_out_of_range(self, k: int) -> None:
        with pytest.raises(ValueError, match=rf"from 1 to the number of rows, 3. Received: k={k}"):
            kth_smallest(pl.DataFrame({"value": [3, 1, 2]}).lazy(), pl.col("value"), k)

    def test_no_rows(self) -> None:
        frame = pl.DataFrame({"value": []}, schema={"value": pl.Int64})
        with pytest.raises(ValueError, match="number of rows, 0"):
            kth_smallest(frame.lazy(), pl.col("value"), 1)


class TestMixed:
    @pytest.mark.parametrize("seed", [0, 1, 987_654_321, 2**63 - 1])
    def test_is_splitmix_bit_by_bit(self, seed: int) -> None:
        rows = np.arange(1000, dtype=np.uint64)
        rows[-3:] = 2**32, 2**63, 2**64 - 1
        found = pl.DataFrame({"row": rows}).lazy().select(mixed(pl.col("row"), seed))
        column = found.collect(engine="streaming")["row"]
        assert column.dtype == pl.UInt64
        assert (column.to_numpy() == splitmix(rows, seed)).all()

    def test_of_row_numbers(self) -> None:
        frame = pl.DataFrame({"x": range(100)}).lazy().with_row_index("row")
        found = frame.select(mixed(pl.col("row"), 3)).collect(engine="streaming")["row"]
        assert found.n_unique() == 100
        assert (found.to_numpy() == splitmix(np.arange(100, dtype=np.uint64), 3)).all()
