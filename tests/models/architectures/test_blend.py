"""The blend: the Retriever contract, the scale of its parts, and its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contract import ModelContract

from towermill.models.build import build_model, load_model
from towermill.models.configs.blend import BlendConfig
from towermill.models.configs.train import TrainConfig
from towermill.models.data.interactions import Processed
from towermill.models.training.train import train_model

TOWER = {"kind": "history", "embedding_dim": 16, "history_dropout": 0.5, "l2": 1e-3}
BOTH: dict[str, Any] = {"parts": [{"kind": "ease", "l2": 10}, TOWER]}
TRAIN = TrainConfig(epochs=30, batch_size=32, learning_rate=0.01, patience=0, tensorboard=False)


class TestBlend(ModelContract):
    model = BlendConfig(**BOTH)
    train = TRAIN
    world = "history_world"
    resumed = BlendConfig(
        parts=[{"kind": "two_tower", "tower": [], "embedding_dim": 8}, TOWER],  # type: ignore[arg-type]
    )
    resumed_world = "featured_histories"
    cut_off = TrainConfig(
        epochs=3, batch_size=24, checkpoint_steps=4, patience=0, tensorboard=False
    )


class TestScale:
    def test_scores_are_the_sum_of_standardised_ones(
        self, history_world: Path, tmp_path: Path
    ) -> None:
        config = BlendConfig(**BOTH, weights=(0.3, 0.7))
        train_model(history_world, config, TRAIN, tmp_path, 0)
        data, model = load_model(history_world, tmp_path, config)
        queries = data.queries("test").features
        found = model.scores(queries, data.items)(0, len(queries))
        expected = np.zeros_like(found)
        for weight, part in zip((0.3, 0.7), model.retrievers, strict=True):  # type: ignore[union-attr]
            scores = part.scores(queries, data.items)(0, len(queries))
            deviation = scores.std(axis=1, keepdims=True)
            expected += weight * (scores - scores.mean(axis=1, keepdims=True)) / deviation
        centred = found - found.mean(axis=1, keepdims=True)
        np.testing.assert_allclose(centred, expected, rtol=1e-3, atol=1e-4)


class TestWeights:
    @pytest.mark.parametrize("best", [(0.0, 1.0), (0.3, 0.7), (1.0, 0.0)])
    def test_the_best_on_validation_are_found(
        self, best: tuple[float, float], history_world: Path
    ) -> None:
        model: Any = build_model(Processed(history_world), BlendConfig(**BOTH))

        def nearness(blend: Any) -> float:
            return -float(np.abs(blend.query_tower.weighting.numpy() - best).sum())

        chosen, tried = model.weigh(nearness)
        assert chosen == best
        np.testing.assert_allclose(model.query_tower.weighting.numpy(), best, atol=1e-6)
        assert all(abs(sum(weights) - 1) < 1e-6 for weights in tried)
        assert len(tried) < 10

    def test_the_middle_of_equals_is_chosen(self, history_world: Path) -> None:
        model: Any = build_model(Processed(history_world), BlendConfig(**BOTH))

        def plateau(blend: Any) -> float:
            return 0.3 if 0.35 < blend.query_tower.weighting.numpy()[0] < 0.85 else 0.1

        chosen, _ = model.weigh(plateau)
        assert chosen == (0.575, 0.425)
        np.testing.assert_allclose(model.query_tower.weighting.numpy(), chosen)

    def test_of_two_peaks_one_is_chosen(self, history_world: Path) -> None:
        model: Any = build_model(Processed(history_world), BlendConfig(**BOTH))

        def peaks(blend: Any) -> float:
            return float(abs(blend.query_tower.weighting.numpy()[0] - 0.5))

        chosen, tried = model.weigh(peaks)
        assert tried[chosen] == 0.5

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"parts": [TOWER]}, "at least 2"),
            ({"parts": [TOWER, {"kind": "ncf"}]}, "retrievers of interactions"),
            ({"weights": [1.0]}, "one number a part"),
            ({"weights": [0.0, 0.0]}, "not all 0"),
        ],
    )
    def test_refusals(self, change: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            BlendConfig.model_validate({**BOTH, **change})
