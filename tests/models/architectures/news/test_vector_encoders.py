"""NRMS on frozen vectors of articles, alone and beside their words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from contract import CUT_OFF, KilledContract, ModelContract
from formulas import randomise
from news_worlds import articles, impressions, write_impressions

from towermill.columns import TOKENS, VECTOR
from towermill.errors import SchemaError
from towermill.models.build import build_model
from towermill.models.configs.news.nrms import NRMSConfig
from towermill.models.configs.train import TrainConfig
from towermill.models.data.impressions import ImpressionData
from towermill.models.encoders.news.vectors import VectorEncoder, VectorLayers

ALONE = NRMSConfig(
    heads=2, head_dim=4, attention_dim=8, dropout=0.1, news_encoder="vectors", dense=(16, 8)
)
BESIDE = ALONE.model_copy(update={"news_encoder": "tokens_and_vectors", "features": ("category",)})
TRAIN = TrainConfig(epochs=6, batch_size=32, learning_rate=0.01, patience=0)


class TestVectors(KilledContract):
    model = ALONE
    train = TRAIN
    world = "news_world"
    beaten = 0.65
    resumed = ALONE.model_copy(update={"features": ("category",), "age": True})
    resumed_world = "news_world"
    cut_off = CUT_OFF.model_copy(update={"batch_size": 40})


class TestTokensAndVectors(ModelContract):
    model = BESIDE
    train = TRAIN
    world = "news_world"
    beaten = 0.65
    resumed = BESIDE
    resumed_world = "news_world"
    cut_off = CUT_OFF.model_copy(update={"batch_size": 40})


class TestLayers:
    def test_equal_a_slow_formula(self) -> None:
        rng = np.random.default_rng(0)
        given = rng.normal(size=(5, 6)).astype(np.float32)
        given[3] = 0
        layers = VectorLayers((7, 3), dropout=0.4)
        layers(tf.constant(given))
        randomise(layers)
        dense, normalise, _ = layers.hidden[0]
        gamma, beta, mean, variance = (w.numpy().astype(np.float64) for w in normalise.weights)
        expected = []
        for row in given.astype(np.float64):
            length = np.sqrt((row**2).sum())
            if length == 0:
                expected.append(np.zeros(3))
                continue
            hidden = np.maximum(row / length @ dense.kernel.numpy() + dense.bias.numpy(), 0)
            hidden = (hidden - mean) / np.sqrt(variance + normalise.epsilon) * gamma + beta
            expected.append(hidden @ layers.last.kernel.numpy() + layers.last.bias.numpy())
        found = layers(tf.constant(given)).numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)

    def test_the_width_is_that_of_the_heads_unless_dense_is_given(self) -> None:
        vectors = tf.ones([2, 5])
        for dense, width in (((), 12), ((9, 12), 12)):
            encoder = VectorEncoder(heads=3, head_dim=4, dense=dense)
            assert encoder(None, {}, vectors).shape == (2, width)
            assert len(encoder.layers.hidden) == max(len(dense) - 1, 0)


@pytest.mark.parametrize(("config", "reads"), [(ALONE, {VECTOR}), (BESIDE, {TOKENS, VECTOR})])
def test_the_item_tower_takes_what_is_read(
    config: NRMSConfig, reads: set[str], news_world: Path
) -> None:
    retriever: Any = build_model(ImpressionData(news_world), config)
    assert {*retriever.item_tower.schema.column_names} == {*reads, *config.features}
    has_words = any(
        "words" in weight.name or "embedding" in weight.name.lower()
        for weight in retriever.model.weights
    )
    assert has_words == (TOKENS in reads)


def test_refused_without_vectors(tmp_path: Path) -> None:
    rows = impressions([(3, 1, 0, [3, 4], [3])] * 4)
    splits = dict.fromkeys(("train", "validation", "test"), rows)
    write_impressions(tmp_path, splits, articles([[3], [4]]), [[3]])
    with pytest.raises(SchemaError, match=r"needs? item vectors.*text\.vectors"):
        build_model(ImpressionData(tmp_path), ALONE)
