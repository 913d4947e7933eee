"""What all news retrievers share: histories looked up among the vectors of articles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import tensorflow as tf
from formulas import randomise
from merlin.schema import ColumnSchema, Schema

from towermill.models.architectures.content import MeanReader
from towermill.models.architectures.news.history import HistoryTower, NewsRetriever, dense_list
from towermill.models.build import build_model
from towermill.models.configs.news.nrms import NRMSConfig
from towermill.models.data.batches.from_frame import to_batch
from towermill.models.data.impressions import ImpressionData
from towermill.models.data.tensors import as_tensors

SCHEMA = Schema([ColumnSchema("history", dtype=np.int32, is_list=True, is_ragged=True)])
#: Articles 3, 4, 5 and 6; what stands at 0, 1 and 2 shows where padding is read.
VECTORS = np.array([[50, 0], [60, 0], [70, 0], [1, 0], [0, 2], [4, 4], [8, 0]], np.float32)


def batch(*histories: list[int]) -> dict[str, tf.Tensor]:
    frame = pl.DataFrame({"history": list(histories)}, schema={"history": pl.List(pl.Int32)})
    return as_tensors(to_batch(frame, SCHEMA))


class TestHistoryTower:
    def tower(self, *, masked: bool = True) -> HistoryTower:
        tower = HistoryTower(MeanReader(), SCHEMA, 2, dim=2, masked=masked)
        tower.hold(VECTORS)
        return tower

    def test_the_last_articles_count(self, on_device: str) -> None:
        found = self.tower()(batch([6, 6, 3, 4], [3], [5, 4], []))
        assert found.numpy().tolist() == [[0.5, 1], [1, 0], [2, 3], [0, 0]]

    def test_unknown_articles_are_passed_over(self) -> None:
        assert self.tower()(batch([2, 3], [1, 0], [4, 2])).numpy().tolist() == [
            [1, 0], [0, 0], [0, 2],
        ]  # fmt: skip

    def test_unmasked_reads_padding_behind(self) -> None:
        found = self.tower(masked=False)(batch([6, 6, 3, 4], [3], [2, 4], []))
        assert found.numpy().tolist() == [[0.5, 1], [25.5, 0], [35, 1], [50, 0]]

    def test_unmasked_does_not_depend_on_the_other_rows(self) -> None:
        assert self.tower(masked=False)(batch([3])).numpy().tolist() == [[25.5, 0]]

    def test_holds_new_vectors_in_place(self) -> None:
        tower = self.tower()
        held = tower.articles
        tower.hold(VECTORS * 2)
        assert tower.articles is held
        assert tower(batch([3])).numpy().tolist() == [[2, 0]]

    def test_vectors_are_no_weights(self) -> None:
        tower = self.tower()
        assert (tower.weights, tower.trainable_variables) == ([], [])
        assert [v.name for v in tower.variables] == ["articles:0"]


def test_dense_list() -> None:
    """Padded behind to the longest; of more than `last`, the last."""
    given = batch([3, 4, 5], [], [6])
    assert dense_list(given, "history").numpy().tolist() == [[3, 4, 5], [0, 0, 0], [6, 0, 0]]
    assert dense_list(given, "history", last=2).numpy().tolist() == [[4, 5], [0, 0], [6, 0]]


class TestNewsRetriever:
    @pytest.fixture(scope="class")
    @classmethod
    def data(cls, news_world: Path) -> ImpressionData:
        return ImpressionData(news_world)

    @pytest.fixture
    def retriever(self, data: ImpressionData) -> NewsRetriever:
        config = NRMSConfig(heads=2, head_dim=4, attention_dim=4, age=True)
        made = build_model(data, config)
        randomise(made.model)
        assert isinstance(made, NewsRetriever)
        return made

    def test_queries_are_of_the_present_weights(
        self, data: ImpressionData, retriever: NewsRetriever, tmp_path: Path
    ) -> None:
        first = retriever.embed_queries(data.users)
        assert np.abs(first).max() > 0.1  # not of the zeros that were held at the start
        retriever.save(tmp_path)
        randomise(retriever.model, seed=1)
        retriever.refresh()
        assert np.abs(retriever.embed_queries(data.users) - first).max() > 0.01
        retriever.restore(tmp_path)
        np.testing.assert_array_equal(retriever.embed_queries(data.users), first)

    def test_refresh_leaves_age_out(self, data: ImpressionData, retriever: NewsRetriever) -> None:
        vectors = retriever.refresh()
        ages = retriever.age_vectors()
        assert ages is not None
        assert vectors.shape == (163, 8)
        assert (vectors[:3] == 0).all()
        assert ages.shape == (16, 8)
        assert (ages[0] == 0).all()
        np.testing.assert_allclose(
            retriever.embed_items(data.items), vectors[3:] + ages[data.items["age"]], atol=1e-5
        )
        np.testing.assert_array_equal(retriever.query_tower.articles, vectors)

    def test_articles_stand_in_no_checkpoint(
        self, retriever: NewsRetriever, tmp_path: Path
    ) -> None:
        retriever.refresh()
        retriever.save(tmp_path)
        tf.train.Checkpoint(model=retriever.model).write(str(tmp_path / "training"))
        for name in ("weights", "training"):
            found = tf.train.list_variables(str(tmp_path / name))
            assert len(found) > 5
            assert all(shape[:1] != [163] for _, shape in found)
            assert not any("articles" in key for key, _ in found)
