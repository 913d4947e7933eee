"""Encoders: what turns features, texts and histories into vectors, one class a name."""

from __future__ import annotations

from typing import Any

from towermill.registry import Registry

#: `model.query_encoder` and `model.item_encoder` of a two-tower to the class that builds a tower.
TOWER_ENCODERS: Registry[Any] = Registry(
    "tower encoder", "towermill.models.encoders.towers", "towermill.tower_encoders"
)
#: `model.encoder` of a history model to its Keras layer.
HISTORY_ENCODERS: Registry[Any] = Registry(
    "history encoder",
    "towermill.models.encoders.histories",
    "towermill.history_encoders",
    "towermill.models.encoders.histories.base:HistoryEncoder",
)
#: `model.news_encoder` of a news model to its Keras layer.
NEWS_ENCODERS: Registry[Any] = Registry(
    "news encoder", "towermill.models.encoders.news", "towermill.news_encoders"
)
#: `model.user_encoder` of a news model to its Keras layer.
USER_ENCODERS: Registry[Any] = Registry(
    "user encoder", "towermill.models.encoders.users", "towermill.user_encoders"
)
