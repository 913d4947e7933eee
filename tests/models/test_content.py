"""The content retriever: nothing learned, cosines worked out by hand."""

from __future__ import annotations

from contract import ServedContract

from towermill.models.config import ContentConfig, TrainConfig


class TestContent(ServedContract):
    model = ContentConfig()
    train = TrainConfig()
    world = "news_world"
    beaten = 0.65
