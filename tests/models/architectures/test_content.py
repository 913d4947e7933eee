"""The content retriever: nothing learned, cosines worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import tensorflow as tf
from contract import ServedContract
from news_worlds import articles, impressions, write_impressions

from towermill.errors import DataError, SchemaError
from towermill.models.architectures.content import MeanReader
from towermill.models.build import build_model
from towermill.models.configs.content import ContentConfig
from towermill.models.configs.news.nrms import NRMSConfig
from towermill.models.configs.train import TrainConfig
from towermill.models.configs.two_tower import TwoTowerConfig
from towermill.models.data.impressions import ImpressionData
from towermill.models.data.interactions import Processed
from towermill.models.training.train import train_model

TRAIN = impressions([(3, 1, 0, [3, 4, 5], [4])])


class TestContent(ServedContract):
    model = ContentConfig()
    train = TrainConfig()
    world = "news_world"
    beaten = 0.65

    def test_nothing_is_trained(self, fitted: tuple[Path, object]) -> None:
        state = json.loads((fitted[0] / "history.json").read_text())
        assert (state["epoch"], state["history"]) == (0, [])


class TestByHand:
    @pytest.fixture
    def data(self, tmp_path: Path) -> ImpressionData:
        vectors = [[3, 4], [0, 2], [0, 0], [-5, 0]]
        items = articles([[3]] * 4, vectors=vectors)
        return ImpressionData(write_impressions(tmp_path, {"train": TRAIN}, items, [[3, 4]]))

    def test_articles_have_length_1(self, data: ImpressionData, on_device: str) -> None:
        found = build_model(data, ContentConfig()).embed_items(data.items)
        np.testing.assert_allclose(found, [[0.6, 0.8], [0, 1], [0, 0], [-1, 0]], rtol=1e-6)

    def test_a_reader_is_the_mean_of_what_was_read(
        self, data: ImpressionData, on_device: str
    ) -> None:
        histories = [[3, 4], [], [4], [2, 4, 1], [3, 5], [4, 3, 6, 4, 4, 4], None]
        frame = pl.DataFrame({"history": histories}, schema={"history": pl.List(pl.Int32)})
        found = build_model(data, ContentConfig()).embed_queries(frame)
        # What is unknown is passed over, what has no vector is a zero; of six the last four count.
        expected = [[0.3, 0.9], [0, 0], [0, 1], [0, 1], [0.3, 0.4], [-0.25, 0.75], [0, 0]]
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)

    def test_mean_leaves_out_what_is_masked(self) -> None:
        vectors = tf.constant([[[1.0, 2.0], [3.0, 4.0], [9.0, 9.0]]] * 2)
        mask = tf.constant([[True, True, False], [False, False, False]])
        assert MeanReader()(vectors, mask).numpy().tolist() == [[2, 3], [0, 0]]

    def test_needs_vectors(self, tmp_path: Path) -> None:
        path = write_impressions(tmp_path, {"train": TRAIN}, articles([[3]] * 3), [[3]])
        with pytest.raises(SchemaError, match="need item vectors"):
            train_model(path, ContentConfig(), TrainConfig(), tmp_path / "out", 0)

    def test_needs_impressions(self, id_world: Path) -> None:
        with pytest.raises(DataError, match=r"`model\.kind: nrms` should be given"):
            build_model(Processed(id_world), NRMSConfig())

    def test_takes_no_other_models_place(self, news_world: Path) -> None:
        with pytest.raises(DataError, match=r"two_tower` should be given processed interactions"):
            build_model(ImpressionData(news_world), TwoTowerConfig())
