"""Which pairs training has, looked up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import tensorflow as tf
from merlin.schema import Tags
from worlds import write_processed

from towermill.models.data.interactions import Processed
from towermill.models.objectives.known_pairs import KnownPairs

PAIRS = [(3, 3), (3, 5), (4, 4), (4, 4), (2, 3), (3, 2)]


@pytest.fixture
def processed(tmp_path: Path) -> Path:
    rows = {"user_id": [u for u, _ in PAIRS], "item_id": [i for _, i in PAIRS]}
    ids = {"user_id": pl.Int32, "item_id": pl.Int32}
    items = pl.DataFrame({"item_id": [3, 4, 5]}, schema={"item_id": pl.Int32})
    sides = {"user_id": Tags.USER, "item_id": Tags.ITEM}
    return write_processed(tmp_path, {"train": pl.DataFrame(rows, schema=ids)}, items, sides)


def every(known: KnownPairs) -> list[tuple[int, int]]:
    users, items = tf.range(6), tf.range(6)
    found = known(users[:, None], items[None]).numpy()
    return [tuple(map(int, pair)) for pair in np.argwhere(found)]


class TestKnownPairs:
    def test_of_known_ids_alone(self, processed: Path) -> None:
        assert every(KnownPairs(Processed(processed))) == [(3, 3), (3, 5), (4, 4)]

    def test_within_a_graph(self, processed: Path) -> None:
        known = tf.function(KnownPairs(Processed(processed)))
        assert known(tf.constant([3, 4, 5]), tf.constant([5, 5, 5])).numpy().tolist() == [
            *(True, False, False)
        ]

    def test_runs_before_count(self, processed: Path) -> None:
        before = pl.DataFrame(
            {"user_id": [5], "item_id": [[3, 4]]},
            schema={"user_id": pl.Int32, "item_id": pl.List(pl.Int32)},
        )
        before.write_parquet(processed / "seen_before.parquet")
        assert every(KnownPairs(Processed(processed)))[3:] == [(5, 3), (5, 4)]
