"""What `models` reads of a processed data set: answers worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from merlin.schema import ColumnSchema, Schema, Tags
from worlds import write_processed

from towermill.columns import COLD_USER, ITEM_ID, USER_ID
from towermill.errors import DataError, SchemaError
from towermill.models.data.batches.from_frame import to_batch
from towermill.models.data.batches.interaction import SeededLoader
from towermill.models.data.interactions import Processed
from towermill.models.data.queries import Queries

IDS = {USER_ID: pl.Int32, ITEM_ID: pl.Int32}


def rows(pairs: list[tuple[int, int]], hours: list[int] | None = None) -> pl.DataFrame:
    frame = pl.DataFrame(pairs, schema=IDS, orient="row")
    hour = pl.Series("hour", hours or [3] * len(pairs), dtype=pl.Int32)
    return frame.with_columns(hour, (pl.col(USER_ID) < 3).alias(COLD_USER))


# Users 3, 4, 5; items 3 … 7, of which 7 was never met in training. 2 is out of vocabulary.
TRAIN = [(3, 3), (3, 4), (3, 3), (4, 3), (5, 2), (4, 6), (1, 5)]
VALIDATION = [(3, 5), (3, 4), (3, 7), (4, 2), (4, 5), (2, 6), (2, 3), (5, 3)]
TEST = [(4, 5), (3, 5), (3, 6), (4, 7), (2, 4), (5, 2), (3, 6)]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Processed:
    splits = {
        "train": rows(TRAIN),
        "validation": rows(VALIDATION, hours=[3, 4, 5, 6, 7, 8, 9, 10]),
        "test": rows(TEST),
    }
    items = pl.DataFrame({ITEM_ID: [3, 4, 5, 6, 7]}, schema={ITEM_ID: pl.Int32})
    sides = {USER_ID: Tags.USER, "hour": Tags.CONTEXT, ITEM_ID: Tags.ITEM}
    return Processed(write_processed(tmp_path_factory.mktemp("hand"), splits, items, sides))


def answers(data: Processed, queries: Queries) -> list[tuple[int, set[int], set[int] | None]]:
    """Return each query's user, relevant and seen item ids."""

    def ids(lists: Any, query: int) -> set[int]:
        positions = lists.values[lists.offsets[query] : lists.offsets[query + 1]]
        return set(data.catalogue[ITEM_ID].to_numpy()[positions].tolist())

    return [
        (
            user,
            ids(queries.relevant, q),
            None if queries.seen is None else ids(queries.seen, q),
        )
        for q, user in enumerate(queries.features["user_id"].to_list())
    ]


class TestQueries:
    def test_by_user(self, data: Processed) -> None:
        queries = data.queries("validation")
        # (3, 4) and (5, 3)… of which only the first was seen in training; (4, 2) is no item.
        assert answers(data, queries) == [
            (3, {5, 7}, {3, 4}),
            (4, {5}, {3, 6}),
            (2, {6}, set()),
            (2, {3}, set()),
            (5, {3}, set()),
        ]
        assert (queries.cold, queries.repeated, len(queries)) == (1, 1, 5)
        assert queries.features["user_id"].dtype == pl.Int32

    def test_features_are_those_of_the_first_row_that_counts(self, data: Processed) -> None:
        features = data.queries("validation").features
        assert features.columns == [USER_ID, "hour"]
        assert features["hour"].to_list() == [3, 7, 8, 9, 10]

    def test_by_interaction(self, data: Processed) -> None:
        queries = data.queries("validation", by="interaction")
        found = answers(data, queries)
        assert found == [
            (3, {5}, {3, 4}),
            (3, {7}, {3, 4}),
            (4, {5}, {3, 6}),
            (2, {6}, set()),
            (2, {3}, set()),
            (5, {3}, set()),
        ]
        assert queries.features["hour"].to_list() == [3, 5, 7, 8, 9, 10]

    def test_seen_kept(self, data: Processed) -> None:
        queries = data.queries("validation", filter_seen=False)
        assert answers(data, queries)[0] == (3, {5, 4, 7}, None)
        assert (queries.cold, queries.repeated) == (1, 0)

    def test_validation_counts_as_seen_for_the_test(self, data: Processed) -> None:
        queries = data.queries("test")
        # (4, 5) and (3, 5) stand in validation; (3, 6) twice is one answer.
        assert answers(data, queries) == [
            (3, {6}, {3, 4, 5, 7}),
            (4, {7}, {3, 5, 6}),
            (2, {4}, set()),
        ]
        assert (queries.cold, queries.repeated) == (1, 2)

    @pytest.mark.parametrize(
        ("segment", "users"), [("all", [3, 4, 2, 2, 5]), ("warm", [3, 4, 5]), ("cold_user", [2, 2])]
    )
    def test_segments(self, segment: Any, users: list[int], data: Processed) -> None:
        assert data.queries("validation", segment=segment).features["user_id"].to_list() == users

    def test_nothing_left(self, data: Processed, tmp_path: Path) -> None:
        splits = {"train": rows(TRAIN), "validation": rows([(3, 3), (4, 2)])}
        sides = {USER_ID: Tags.USER, ITEM_ID: Tags.ITEM}
        processed = Processed(write_processed(tmp_path / "p", splits, data.items, sides))
        queries = processed.queries("validation")
        assert (len(queries), queries.cold, queries.repeated) == (0, 1, 1)


class TestCatalogue:
    def test_positions_point_into_the_catalogue(self, data: Processed) -> None:
        ids = pl.Series([7, 3, 5, 3], dtype=pl.Int32)
        positions = data.positions(ids)
        assert data.catalogue[positions][ITEM_ID].to_list() == [7, 3, 5, 3]
        assert sorted(data.catalogue[ITEM_ID]) == [3, 4, 5, 6, 7]

    def test_order_is_not_that_of_the_ids_and_stays(self, data: Processed) -> None:
        assert data.catalogue[ITEM_ID].to_list() != data.items[ITEM_ID].to_list()
        again = Processed(data.path)
        np.testing.assert_array_equal(again.ranking_order, data.ranking_order)

    def test_counts(self, data: Processed) -> None:
        assert data.id_counts.tolist() == [0, 0, 1, 3, 1, 1, 1, 0]
        assert data.item_counts.tolist() == [3, 1, 1, 1, 0]


class TestSplits:
    def test_has(self, data: Processed, tmp_path: Path) -> None:
        assert data.has("validation")
        assert not data.has("elsewhere")
        splits = {"train": rows(TRAIN), "validation": rows([])}
        sides = {USER_ID: Tags.USER, ITEM_ID: Tags.ITEM}
        processed = Processed(write_processed(tmp_path / "p", splits, data.items, sides))
        assert not processed.has("validation")
        (tmp_path / "p" / "test").mkdir()
        assert not processed.has("test")

    def test_sides(self, data: Processed) -> None:
        assert data.query_schema.column_names == [USER_ID, "hour"]
        assert data.item_schema.column_names == [ITEM_ID]
        assert data.rows("train") == 7

    def test_no_data_set(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"with schema.pbtxt in "):
            _ = Processed(tmp_path).schema

    def test_no_user_id(self, data: Processed, tmp_path: Path) -> None:
        sides = {"hour": Tags.CONTEXT, ITEM_ID: Tags.ITEM}
        path = write_processed(tmp_path / "p", {"train": rows(TRAIN)}, data.items, sides)
        with pytest.raises(
            SchemaError, match=r"'user_id' tagged USER or CONTEXT.*Found: hour, item"
        ):
            _ = Processed(path).query_schema


class TestToBatch:
    SCHEMA = Schema(
        [
            ColumnSchema(ITEM_ID, dtype=np.int32),
            ColumnSchema("genres", dtype=np.int32, is_list=True, is_ragged=True),
        ]
    )

    def batch(self, lists: list[Any]) -> dict[str, Any]:
        frame = pl.DataFrame(
            {"genres": lists, ITEM_ID: range(len(lists)), "other": 0},
            schema={"genres": pl.List(pl.Int32), ITEM_ID: pl.Int32, "other": pl.Int32},
        )
        batch = to_batch(frame, self.SCHEMA)
        assert {name: str(values.dtype) for name, values in batch.items()} == {
            ITEM_ID: "int32",
            "genres__values": "int32",
            "genres__offsets": "int32",
        }
        return {name: values.tolist() for name, values in batch.items()}

    def test_lists_are_flat(self) -> None:
        found = self.batch([[5, 3], [4], [7, 8, 9]])
        assert found["genres__values"] == [5, 3, 4, 7, 8, 9]
        assert found["genres__offsets"] == [0, 2, 3, 6]
        assert found[ITEM_ID] == [0, 1, 2]

    def test_empty_and_missing_lists(self) -> None:
        found = self.batch([[], [4], None, [], [5, 6]])
        assert found["genres__values"] == [4, 5, 6]
        assert found["genres__offsets"] == [0, 0, 1, 1, 1, 3]

    @pytest.mark.parametrize("lists", [[], [[]], [[], None]])
    def test_no_values(self, lists: list[Any]) -> None:
        found = self.batch(lists)
        assert found["genres__values"] == []
        assert found["genres__offsets"] == [0] * (len(lists) + 1)

    def test_is_what_the_dataloader_gives(self, feature_world: Path) -> None:
        data = Processed(feature_world)
        with SeededLoader(data.dataset("train"), batch_size=2400, seed=(0,)) as loader:
            found = {name: values.numpy() for name, values in next(iter(loader))[0].items()}
        schema = Schema([*data.query_schema, *data.item_schema])
        expected = to_batch(data.scan("train").collect(), schema)
        assert found.keys() == expected.keys()
        for name, values in expected.items():
            assert found[name].dtype == values.dtype, name
            assert sorted(found[name]) == sorted(values) or name.endswith("__offsets")


class TestLoader:
    @pytest.fixture
    def parts(self, tmp_path: Path) -> Processed:
        """Three files of 10, 5 and 8 rows; a row's list is its user's id and item's id."""
        frame = rows([(3 + i, 3 + i % 5) for i in range(23)]).with_columns(
            pair=pl.concat_list(USER_ID, ITEM_ID)
        )
        items = pl.DataFrame({ITEM_ID: [3, 4, 5, 6, 7]}, schema={ITEM_ID: pl.Int32})
        sides = {USER_ID: Tags.USER, "pair": Tags.CONTEXT, ITEM_ID: Tags.ITEM}
        path = write_processed(tmp_path / "p", {"train": frame}, items, sides)
        for i, (start, stop) in enumerate([(0, 10), (10, 15), (15, 23)]):
            frame[start:stop].write_parquet(path / "train" / f"part_{i}.parquet")
        return Processed(path)

    def epoch(self, data: Processed, seed: tuple[int, ...]) -> list[list[int]]:
        batches = []
        with SeededLoader(data.dataset("train"), batch_size=4, seed=seed) as loader:
            assert len(loader) == 6
            for batch, _ in loader:
                users, items = batch[USER_ID].numpy(), batch[ITEM_ID].numpy()
                np.testing.assert_array_equal(items - 3, (users - 3) % 5)
                pair = batch["pair__values"].numpy().reshape(-1, 2)
                np.testing.assert_array_equal(pair, np.stack([users, items], axis=1))
                assert batch["pair__offsets"].numpy().tolist() == list(
                    range(0, 2 * len(users) + 1, 2)
                )
                batches.append(users.tolist())
        return batches

    def test_each_row_once_in_an_order_of_the_seed(self, parts: Processed) -> None:
        first = self.epoch(parts, (1, 0))
        assert [len(batch) for batch in first] == [4, 4, 4, 4, 4, 3]
        assert sorted(user for batch in first for user in batch) == list(range(3, 26))
        np.random.seed(0)
        assert self.epoch(parts, (1, 0)) == first
        assert self.epoch(parts, (1, 1)) != first
        assert self.epoch(parts, (2, 0)) != first

    def test_last_batch_is_not_always_of_the_last_rows(self, parts: Processed) -> None:
        last = [set(self.epoch(parts, (0, epoch))[-1]) for epoch in range(6)]
        assert len(set.union(*last)) > 8
