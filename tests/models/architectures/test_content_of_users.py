"""Content on interactions: cosines worked out by hand, and what is served."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from contract import ServedContract
from merlin.schema import Tags
from worlds import GROUPS, group_world, write_processed

from towermill.columns import ITEM_ID, USER_ID, VECTOR
from towermill.errors import SchemaError
from towermill.models.build import build_model
from towermill.models.configs.content import ContentConfig
from towermill.models.configs.train import TrainConfig
from towermill.models.data.interactions import Processed

CONTENT = ContentConfig()


class TestContract(ServedContract):
    model = CONTENT
    train = TrainConfig()
    world = "vector_world"

    @pytest.fixture(scope="class")
    @classmethod
    def vector_world(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """Groups of items that their vectors tell: whom somebody met in training says which."""
        folder = group_world(tmp_path_factory.mktemp("vector-world"), features=False)
        data = Processed(folder)
        # Users meet one group; so what one user met is a group.
        pairs = data.scan("train").select(USER_ID, ITEM_ID).collect()
        groups = pairs.group_by(ITEM_ID).agg(pl.col(USER_ID).unique().alias("by")).sort(ITEM_ID)
        first = {}
        for _, users in groups.iter_rows():
            own = next((first[user] for user in users if user in first), len(set(first.values())))
            first.update(dict.fromkeys(users, own))
        group = np.array([first[users[0]] for users in groups["by"].to_list()])
        assert group.max() == GROUPS - 1
        vectors = 3 * np.eye(GROUPS)[group] + np.random.default_rng(0).normal(0, 0.1, (120, GROUPS))
        column = pl.Series(VECTOR, vectors.astype(np.float32), dtype=pl.Array(pl.Float32, GROUPS))
        data.items.with_columns(column).write_parquet(folder / "items.parquet")
        return folder


class TestByHand:
    @pytest.fixture
    def data(self, tmp_path: Path) -> Processed:
        rows = {USER_ID: [3, 3, 3, 4, 2], ITEM_ID: [3, 4, 4, 5, 3]}
        vectors = pl.Series([[3, 4], [0, 2], [0, 0]], dtype=pl.Array(pl.Float32, 2))
        train = pl.DataFrame(rows, schema=dict.fromkeys(rows, pl.Int32))
        items = pl.DataFrame({ITEM_ID: pl.Series([3, 4, 5], dtype=pl.Int32), VECTOR: vectors})
        sides = {USER_ID: Tags.USER, ITEM_ID: Tags.ITEM}
        return Processed(write_processed(tmp_path, {"train": train}, items, sides))

    def test_items_have_length_1(self, data: Processed) -> None:
        found = build_model(data, CONTENT).embed_items(data.items)
        np.testing.assert_allclose(found, [[0.6, 0.8], [0, 1], [0, 0]], rtol=1e-6)

    def test_a_user_is_the_mean_of_what_was_met(self, data: Processed) -> None:
        users = pl.DataFrame({USER_ID: [3, 4, 2]}, schema={USER_ID: pl.Int32})
        found = build_model(data, CONTENT).embed_queries(users)
        np.testing.assert_allclose(found, [[0.3, 0.9], [0, 0], [0, 0]], rtol=1e-6)


class TestRefused:
    def test_without_vectors(self, id_world: Path) -> None:
        with pytest.raises(SchemaError, match=r"Set `text\.vectors`"):
            build_model(Processed(id_world), CONTENT)
