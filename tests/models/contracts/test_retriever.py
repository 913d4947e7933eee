"""Tables encoded in slices, here or elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from towermill.models.build import build_model
from towermill.models.configs.two_tower import TwoTowerConfig
from towermill.models.contracts import retriever
from towermill.models.contracts.retriever import Retriever
from towermill.models.data.interactions import Processed


@pytest.fixture
def data(id_world: Path) -> Processed:
    return Processed(id_world)


@pytest.fixture
def model(data: Processed) -> Retriever:
    return build_model(data, TwoTowerConfig(tower=(), embedding_dim=8), seed=3)


class TestSpread:
    def test_has_the_slices_encoded_in_order(
        self, data: Processed, model: Retriever, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = model.embed_items(data.items)
        asked: list[Any] = []

        def spread(side: Any, slices: Sequence[pl.DataFrame]) -> Iterator[Any]:
            asked.extend((side, rows.height, rows.columns) for rows in slices)
            return (model.encode(side, rows) for rows in slices)

        model.spread = spread
        monkeypatch.setattr(retriever, "ENCODE_ROWS", data.items.height - 3)
        np.testing.assert_allclose(model.embed_items(data.items), whole, rtol=1e-6)
        inputs = data.item_schema.column_names
        assert asked == [("item", data.items.height - 3, inputs), ("item", 3, inputs)]

    def test_of_one_slice_is_encoded_here(self, data: Processed, model: Retriever) -> None:
        model.spread = pytest.fail
        assert model.embed_items(data.items).shape == (data.items.height, 8)
        assert model.embed_queries(data.users.head(0)).shape == (0, 8)
