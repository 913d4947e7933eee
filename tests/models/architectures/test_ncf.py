"""NCF: the Ranker contract on interactions and on impressions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import tensorflow as tf
from contract import ModelContract, ServedContract

from towermill.errors import DataError
from towermill.models.build import build_model
from towermill.models.configs.ncf import NCFConfig
from towermill.models.configs.train import TrainConfig
from towermill.models.contracts.ranker import Ranker
from towermill.models.data.interactions import Processed
from towermill.models.evaluation.impressions import report_impressions


class TestOnInteractions(ModelContract):
    model = NCFConfig(embedding_dim=8, mlp=(16, 8))
    train = TrainConfig(epochs=25, batch_size=128, learning_rate=0.01, patience=0)
    resumed = NCFConfig(embedding_dim=4, mlp=(8,), dropout=0.2, l2=1e-3)
    resumed_world = "id_world"

    def test_negatives_are_none_that_the_user_met(self, id_world: Path) -> None:
        """With every other item of the catalogue met, nothing is left to weigh against."""
        data = Processed(id_world)
        ranker: Any = build_model(data, self.model)
        known = ranker.loss.known
        train = data.scan("train").collect()
        users = tf.constant(train["user_id"].to_numpy())
        assert known(users, tf.constant(train["item_id"].to_numpy())).numpy().all()
        pairs = set(train.select("user_id", "item_id").rows())
        rng = np.random.default_rng(0)
        drawn = rng.integers(3, data.items.height + 3, len(train)).astype(np.int32)
        expected = [pair in pairs for pair in zip(train["user_id"], drawn.tolist(), strict=True)]
        assert 0 < sum(expected) < len(expected)
        np.testing.assert_array_equal(known(users, drawn).numpy(), expected)

    def test_blocks_are_the_pairs_one_by_one(
        self, loaded: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from towermill.models.contracts import ranker as module

        data, ranker = loaded
        queries = data.users.head(7)
        every = ranker.scores(queries, data.items)
        monkeypatch.setattr(module, "_PAIRS", 50)
        found = every(2, 6)
        for row, query in enumerate(range(2, 6)):
            alone = pl.concat([queries[query]] * data.items.height)
            np.testing.assert_allclose(found[row], ranker.score(alone, data.items), atol=1e-5)


class TestOnImpressions(ServedContract):
    model = NCFConfig(embedding_dim=8, mlp=(16, 8))
    train = TrainConfig(epochs=12, batch_size=64, learning_rate=0.01, patience=0)
    world = "taste_impressions"
    beaten = 0.65

    def test_tells_clicks_from_the_rest(self, loaded: Any) -> None:
        data, model = loaded
        report = report_impressions(model, data, data.slates("test"), (5,), 0)
        assert report["entries"]["auroc"]["model"] > 0.95
        assert report["entries"]["f1"] > 0.85
        assert "intra_list_diversity@5" not in report["metrics"]


class TestRanker:
    def test_is_refused_other_data(self, id_world: Path) -> None:
        from towermill.models.configs.news.news_mf import NewsMFConfig

        with pytest.raises(DataError, match=r"processed impressions\. Received: interactions"):
            build_model(Processed(id_world), NewsMFConfig())

    def test_weights_of_another_model(self, id_world: Path, tmp_path: Path) -> None:
        data = Processed(id_world)
        build_model(data, NCFConfig(mlp=(8,))).save(tmp_path)
        other = build_model(data, NCFConfig(mlp=(8, 4)))
        assert isinstance(other, Ranker)
        with pytest.raises(DataError, match="of another model"):
            other.restore(tmp_path)
