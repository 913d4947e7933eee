"""Each model, trained on a GPU and on the CPU: the same answer, and the same of equal weights."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import towermill  # noqa: F401 - before TensorFlow

sys.path[:0] = [str(Path(__file__).parents[1] / "models")]
contract = importlib.import_module("contract")
news_worlds = importlib.import_module("news_worlds")
worlds = importlib.import_module("worlds")

import tensorflow as tf  # noqa: E402

from towermill.models.configs.base import ModelConfig  # noqa: E402
from towermill.models.configs.funk_svd import FunkSVDConfig  # noqa: E402
from towermill.models.configs.ncf import NCFConfig  # noqa: E402
from towermill.models.configs.news.news_mf import NewsMFConfig  # noqa: E402
from towermill.models.configs.news.nrms import NRMSConfig  # noqa: E402
from towermill.models.configs.train import TrainConfig  # noqa: E402
from towermill.models.configs.two_tower import TwoTowerConfig  # noqa: E402
from towermill.models.training.train import load_model, train_model  # noqa: E402

#: Of embeddings and scores of the same weights: a GPU adds up in another order.
SAME = 1e-3
#: Of the first epoch's loss, of the same rows and first weights.
LOSS = 0.02
#: Of a metric after training, whose steps drift apart.
METRIC = 0.1

TRAIN = {"epochs": 6, "batch_size": 64, "patience": 0, "tensorboard": False}
MODELS: dict[str, tuple[str, ModelConfig, dict[str, Any]]] = {
    "two_tower": ("id", TwoTowerConfig(tower=(16, 8), embedding_dim=16), {"learning_rate": 0.01}),
    "two_tower, lists": ("features", TwoTowerConfig(tower=(16, 8)), {"learning_rate": 0.01}),
    "two_tower, lazy": (
        "id",
        TwoTowerConfig(tower=(), embedding_dim=8),
        {"optimizer": "lazy_adam", "learning_rate": 0.02},
    ),
    "funk_svd": ("id", FunkSVDConfig(), {}),
    "ncf": ("taste", NCFConfig(), {"learning_rate": 0.01}),
    "news_mf": ("taste", NewsMFConfig(), {"learning_rate": 0.01}),
    "nrms": (
        "topic",
        NRMSConfig(heads=2, head_dim=8, attention_dim=16, dropout=0.0, user_dropout=0.0),
        {"learning_rate": 0.005},
    ),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    def made(name: str, make: Any, **options: Any) -> Path:
        return Path(make(tmp_path_factory.mktemp(name), **options))

    return {
        "id": made("id", worlds.group_world, features=False),
        "features": made("features", worlds.group_world, features=True),
        "taste": made("taste", news_worlds.taste_world),
        "topic": made("topic", news_worlds.topic_world),
    }


def fitted(path: Path, model: ModelConfig, out: Path, device: str, **train: Any) -> list[Any]:
    out.mkdir(parents=True)
    with tf.device(f"/{device}:0"):
        train_model(path, model, TrainConfig(**{**TRAIN, **train}), out, 3)
    return list(json.loads((out / "history.json").read_text())["history"])


def metric(record: dict[str, Any]) -> float:
    return float(next(iter(record["metrics"].values())))


@pytest.mark.parametrize("name", MODELS)
class TestModel:
    def test_training_and_what_it_serves(
        self, data: dict[str, Path], tmp_path: Path, other: str, name: str
    ) -> None:
        world, model, train = MODELS[name]
        expected = fitted(data[world], model, tmp_path / "cpu", "cpu", **train)
        found = fitted(data[world], model, tmp_path / "gpu", other, **train)
        assert found[0]["loss"] == pytest.approx(expected[0]["loss"], rel=LOSS)
        assert max(map(metric, found)) == pytest.approx(max(map(metric, expected)), abs=METRIC)

        outputs = []
        for device in ("cpu", other):  # of the weights that the GPU has trained
            with tf.device(f"/{device}:0"):
                processed, loaded = load_model(data[world], tmp_path / "gpu", model)
                queries = contract.queries_of(processed)
                outputs.append(contract.outputs_of(loaded, queries, processed.items))
        for on_cpu, on_gpu in zip(*outputs, strict=True):
            np.testing.assert_allclose(on_gpu, on_cpu, rtol=SAME, atol=SAME)


@pytest.mark.parametrize(
    "train",
    [{"mixed_precision": "bfloat16"}, {"mixed_precision": "float16"}, {"xla": True}],
    ids=str,
)
def test_faster_ways_to_train_end_up_there(
    data: dict[str, Path], tmp_path: Path, other: str, train: dict[str, Any]
) -> None:
    world, model, own = MODELS["two_tower"]
    expected = fitted(data[world], model, tmp_path / "plain", other, **own)
    found = fitted(data[world], model, tmp_path / "fast", other, **own, **train)
    assert found[-1]["loss"] < found[0]["loss"]
    assert found[0]["loss"] == pytest.approx(expected[0]["loss"], rel=0.05)
    assert max(map(metric, found)) == pytest.approx(max(map(metric, expected)), abs=METRIC)
