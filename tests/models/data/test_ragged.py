from __future__ import annotations

import numpy as np
import pytest

from towermill.errors import DataError
from towermill.models.data.ragged import blocks, check_items, check_offsets, entries_of


class TestBlocks:
    @pytest.mark.parametrize("entries", [1, 3, 5, 100])
    def test_cover_all_once(self, entries: int) -> None:
        offsets = np.array([0, 2, 2, 2, 9, 10, 10])
        runs = list(blocks(offsets, entries))
        assert [row for start, stop in runs for row in range(start, stop)] == list(range(6))
        for start, stop in runs:
            assert stop - start == 1 or offsets[stop] - offsets[start] <= entries
            assert stop - start <= max(1, entries)

    def test_nothing(self) -> None:
        assert list(blocks(np.array([0]), 4)) == []


class TestEntriesOf:
    def test_by_hand(self) -> None:
        offsets = np.array([0, 2, 2, 5, 6])
        assert entries_of(offsets, np.array([2, 1, 0])).tolist() == [2, 3, 4, 0, 1]
        assert entries_of(offsets, np.array([], np.int64)).tolist() == []


class TestChecks:
    def test_unsigned_and_small_integers(self) -> None:
        assert check_offsets(np.array([0, 3], np.uint8), 3).dtype == np.int64
        assert check_items("items", np.array([2], np.int8), 3).dtype == np.int64
        with pytest.raises(DataError, match="`offsets` should rise from 0"):
            check_offsets(np.array([0, 3, 1, 4], np.uint32), 4)
        with pytest.raises(DataError, match="`seen` should hold positions from 0 to 2"):
            check_items("seen", [3], 3)
