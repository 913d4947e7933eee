"""NAML, LSTUR and Fastformer: the contract, and what each finds that NRMS does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contract import CUT_OFF, ModelContract
from news_worlds import articles, impressions, write_impressions

from towermill.models.build import load_model
from towermill.models.configs.news.nrms import NRMSConfig
from towermill.models.configs.train import TrainConfig
from towermill.models.evaluation.impressions import report_impressions
from towermill.models.training.train import train_model

NRMS = NRMSConfig(heads=2, head_dim=4, attention_dim=8, dropout=0.1)
NAML = NRMS.model_copy(
    update={
        "news_encoder": "views",
        "user_encoder": "additive_attention",
        "features": ("category",),
    }
)
LSTUR = NRMS.model_copy(update={"news_encoder": "cnn", "user_encoder": "gru", "reader_ids": True})
FASTFORMER = NRMS.model_copy(update={"news_encoder": "fastformer", "user_encoder": "fastformer"})
TRAIN = TrainConfig(epochs=6, batch_size=32, learning_rate=0.01, patience=0)


class TestNAML(ModelContract):
    model = NAML
    train = TRAIN
    world = "news_world"
    beaten = 0.65
    resumed = NAML.model_copy(update={"dense": (12, 8), "history_dropout": 0.2})
    resumed_world = "news_world"
    cut_off = CUT_OFF.model_copy(update={"batch_size": 40})


class TestLSTUR(ModelContract):
    model = LSTUR
    train = TRAIN.model_copy(update={"epochs": 10})
    world = "news_world"
    beaten = 0.65
    resumed = LSTUR.model_copy(update={"dense": (12, 8), "history_dropout": 0.2})
    resumed_world = "news_world"
    cut_off = CUT_OFF.model_copy(update={"batch_size": 40})


class TestFastformer(ModelContract):
    model = FASTFORMER
    train = TRAIN
    world = "news_world"
    beaten = 0.65
    resumed = FASTFORMER.model_copy(update={"dense": (12, 8), "history_dropout": 0.2})
    resumed_world = "news_world"
    cut_off = CUT_OFF.model_copy(update={"batch_size": 40})


def world(folder: Path, likes: str) -> Path:
    """Write impressions of which readers click by one thing, and read one of its kind before.

    `likes` is ``category``: titles are drawn at random, and say nothing; or ``reader``: all have
    read the same articles, and each prefers words of their own.
    """
    rng = np.random.default_rng(0)
    count, readers = 60, 30
    kinds = rng.integers(0, 2, count)
    words = rng.integers(5, 30, (count, 4))
    if likes == "reader":
        words = np.where(kinds[:, None] == 0, rng.integers(5, 12, words.shape), words)
        words = np.where(kinds[:, None] == 1, rng.integers(20, 27, words.shape), words)
    items = articles(words.tolist(), category=(kinds + 3).tolist())
    taste = np.arange(readers) % 2
    histories = [
        [int(rng.choice(np.flatnonzero(kinds == taste[reader]))) + 3 for _ in range(3)]
        if likes == "category"
        else [3, 4, 5]
        for reader in range(readers)
    ]

    def rows(each: int) -> list[Any]:
        made = []
        for reader in range(readers):
            for _ in range(each):
                liked = int(rng.choice(np.flatnonzero(kinds == taste[reader]))) + 3
                other = int(rng.choice(np.flatnonzero(kinds != taste[reader]))) + 3
                made.append((reader + 3, reader + 1, 1.0, sorted([liked, other]), [liked]))
        return made

    splits = {name: impressions(rows(each)) for name, each in (("train", 20), ("test", 5))}
    splits["validation"] = impressions(rows(3))
    return write_impressions(folder, splits, items, histories)


def auc(model: NRMSConfig, processed: Path, out: Path) -> float:
    train = TRAIN.model_copy(update={"epochs": 8, "tensorboard": False})
    train_model(processed, model, train, out, 0)
    data, trained = load_model(processed, out, model)
    slates = data.slates("test")
    return float(report_impressions(trained, data, slates, (5,), 0)["metrics"]["auc"])


@pytest.mark.parametrize(("model", "likes"), [(NAML, "category"), (LSTUR, "reader")])
def test_finds_what_nrms_does_not(model: NRMSConfig, likes: str, tmp_path: Path) -> None:
    processed = world(tmp_path / "world", likes)
    found = {
        name: auc(config, processed, tmp_path / name)
        for name, config in {"family": model, "nrms": NRMS}.items()
    }
    assert found["family"] > 0.95
    assert found["family"] > found["nrms"] + 0.1
