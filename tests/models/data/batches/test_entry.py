"""Rows of what was shown: each keeps its reader, its history and its label together."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from news_worlds import articles, impressions, write_impressions

from towermill.errors import DataError
from towermill.models.data.batches.entry import EntryBatches
from towermill.models.data.impressions import ImpressionData

#: User, history, hours, shown, clicked.
ROWS: list[Any] = [
    (3, 1, 0, [3, 4, 5], [4]),
    (4, 2, 1, [5, 6], [5, 6]),
    (3, 1, 2, [6, 3], []),
    (2, 0, 3, [4, 6, 3, 5], [3]),
]
EXPECTED = Counter(
    (user, history, item, int(item in clicked))
    for user, history, _, shown, clicked in ROWS
    for item in shown
)


def written(folder: Path, rows: list[Any]) -> ImpressionData:
    items = articles([[3]] * 4)
    return ImpressionData(
        write_impressions(folder, {"train": impressions(rows)}, items, [[3], [4]])
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> ImpressionData:
    return written(tmp_path_factory.mktemp("entries"), ROWS)


def rows_of(batches: EntryBatches, number: int) -> list[tuple[int, ...]]:
    found = []
    for batch in batches.epoch(number):
        columns = [batch[name].numpy() for name in ("user_id", "history_id", "item_id", "labels")]
        found += [tuple(map(int, row)) for row in zip(*columns, strict=True)]
    return found


class TestRows:
    def test_each_article_shown_once_with_its_reader_and_label(self, data: ImpressionData) -> None:
        for number in range(5):
            assert Counter(rows_of(EntryBatches(data, batch_size=4), number)) == EXPECTED

    def test_seed_and_epoch_decide_the_order(self, data: ImpressionData) -> None:
        first = rows_of(EntryBatches(data, batch_size=4, seed=1), 0)
        assert first == rows_of(EntryBatches(data, batch_size=4, seed=1), 0)
        assert first != rows_of(EntryBatches(data, batch_size=4, seed=1), 1)
        assert first != rows_of(EntryBatches(data, batch_size=4, seed=2), 0)

    def test_shapes_and_types(self, data: ImpressionData) -> None:
        made = EntryBatches(data, batch_size=4)
        assert (made.rows, len(made)) == (11, 3)
        sizes = [len(batch["labels"]) for batch in made.epoch(0)]
        assert sizes == [4, 4, 3]
        assert {v.dtype.name for v in made.first().values()} == {"int32"}

    @pytest.mark.parametrize("clicked", [[], [3, 4]])
    def test_nothing_to_tell_apart(self, clicked: list[int], tmp_path: Path) -> None:
        data = written(tmp_path / "w", [(3, 1, 0, [3, 4], clicked)])
        with pytest.raises(DataError, match=f"of 2 articles shown, {len(clicked)} were clicked"):
            EntryBatches(data, batch_size=4)

    def test_impressions_stay_as_they_were(self, data: ImpressionData) -> None:
        before = data.slates("train")
        rows_of(EntryBatches(data, batch_size=4), 0)
        np.testing.assert_array_equal(before.items, data.slates("train").items)
