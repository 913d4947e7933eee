"""NRMS: the contract, each distinct article encoded once, and what it refuses."""

from __future__ import annotations

from contract import CUT_OFF, RetrieverContract

from towermill.models.config import NRMSConfig, TrainConfig

SMALL = NRMSConfig(heads=2, head_dim=4, attention_dim=8, dropout=0.1)


class TestNRMS(RetrieverContract):
    model = SMALL
    train = TrainConfig(epochs=6, batch_size=32, learning_rate=0.01, patience=0)
    world = "news_world"
    beaten = 0.65
    resumed = NRMSConfig(
        heads=2,
        head_dim=4,
        attention_dim=4,
        dense=(12, 8),
        dropout=0.2,
        features=("category",),
        age=True,
        replacement=False,
    )
    resumed_world = "news_world"
    cut_off = CUT_OFF.model_copy(update={"batch_size": 40})
