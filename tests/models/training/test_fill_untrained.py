"""What is unknown is served as an average."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from merlin.models.tf.inputs.embedding import EmbeddingTable

from towermill.models.build import build_model
from towermill.models.configs.news.news_mf import NewsMFConfig
from towermill.models.configs.two_tower import TwoTowerConfig
from towermill.models.data.impressions import ImpressionData
from towermill.models.data.interactions import Processed
from towermill.models.training.fill_untrained import fill_untrained_rows


def tables(tower: Any) -> dict[str, Any]:
    found = [m for m in tower.submodules if isinstance(m, EmbeddingTable)]
    return {name: table for table in found for name in table.schema.column_names}


class TestFillUntrainedRows:
    config = TwoTowerConfig(tower=(), embedding_dim=4)

    def test_unknown_is_the_mean_over_training_rows(self, feature_world: Path) -> None:
        data = Processed(feature_world)
        retriever = build_model(data, self.config)
        users = tables(retriever.query_tower)["user_id"].table.embeddings
        before = users.numpy()
        fill_untrained_rows(retriever, data)
        ids = data.scan("train").collect()["user_id"].to_numpy()
        for unknown in (1, 2):
            np.testing.assert_allclose(users.numpy()[unknown], before[ids].mean(0), atol=1e-6)

    def test_all_else_stays(self, feature_world: Path) -> None:
        data = Processed(feature_world)
        retriever = build_model(data, self.config)
        for tower in (retriever.query_tower, retriever.item_tower):
            for table in tables(tower).values():
                before = table.table.embeddings.numpy()
                fill_untrained_rows(retriever, data)
                after = table.table.embeddings.numpy()
                np.testing.assert_array_equal(after[0], before[0])
                met = data.occurrences(table.schema.column_names[0])[3:] > 0
                assert met.any()
                np.testing.assert_array_equal(after[3:][met], before[3:][met])

    def test_an_item_that_was_never_met_is_an_average(self, mood_impressions: Path) -> None:
        data = ImpressionData(mood_impressions)
        model: Any = build_model(data, NewsMFConfig())
        rows = tables(model.item_tower)["item_id"].table.embeddings
        before = rows.numpy()
        fill_untrained_rows(model, data)
        shown = data.scan("train").collect()["inview"].explode().to_numpy()
        new = sorted({*range(3, len(before))} - {*shown})
        assert len(new) == 60  # of validation and test
        expected = np.broadcast_to(before[shown].mean(0), (60, 11))
        np.testing.assert_allclose(rows.numpy()[new], expected, atol=1e-6)

    def test_what_an_earlier_run_learned_stays(self, mood_impressions: Path) -> None:
        """Items of runs before the last stand in no training split that is at hand."""
        data = ImpressionData(mood_impressions)
        model: Any = build_model(data, NewsMFConfig())
        rows = tables(model.item_tower)["item_id"].table.embeddings
        before = rows.numpy()
        fill_untrained_rows(model, data, earlier=data)
        np.testing.assert_array_equal(rows.numpy()[3:], before[3:])
        assert (rows.numpy()[2] != before[2]).any()

    def test_list_column(self, feature_world: Path) -> None:
        data = Processed(feature_world)
        retriever = build_model(data, self.config)
        name = next(c.name for c in data.item_schema if c.is_list)
        rows = tables(retriever.item_tower)[name].table.embeddings
        before = rows.numpy()
        fill_untrained_rows(retriever, data)
        ids = data.scan("train").collect()[name].explode(empty_as_null=True).drop_nulls().to_numpy()
        assert 2 not in ids
        np.testing.assert_allclose(rows.numpy()[2], before[ids].mean(0), atol=1e-6)
