"""Fixtures for the models' tests.

`worlds`, `news_worlds`, `contract` beside this file and `layers/formulas` are imported by name.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent / "layers")]
pytest.register_assert_rewrite("contract")

from news_worlds import mood_world, taste_world, topic_world  # noqa: E402
from worlds import chain_world, crossed_world, group_world, with_histories  # noqa: E402

from towermill.models.data.interactions import Processed  # noqa: E402


@pytest.fixture(scope="session")
def id_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The group is told by the ids alone."""
    return group_world(tmp_path_factory.mktemp("id-world"), features=False)


@pytest.fixture(scope="session")
def history_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ids alone reveal the group; users have histories."""
    world = group_world(tmp_path_factory.mktemp("history-world"), features=False)
    return with_histories(world, size=15)


@pytest.fixture(scope="session")
def history_data(history_world: Path) -> Processed:
    """Its data."""
    return Processed(history_world)


@pytest.fixture(scope="session")
def featured_histories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Histories, and features of users and items."""
    world = group_world(tmp_path_factory.mktemp("featured-histories"), features=True)
    return with_histories(world, size=15)


@pytest.fixture(scope="session")
def chains(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each item decides the next one."""
    return chain_world(tmp_path_factory.mktemp("chains"))


@pytest.fixture(scope="session")
def feature_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The group is told by a list and a number; test users are strangers."""
    return group_world(tmp_path_factory.mktemp("feature-world"), features=True)


@pytest.fixture(scope="session")
def crossed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Whether an item is clicked depends on two categories together."""
    return crossed_world(tmp_path_factory.mktemp("crossed"))


@pytest.fixture(scope="session")
def crossed_few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with ten steps an epoch."""
    return crossed_world(tmp_path_factory.mktemp("crossed-few"), rows=4200)


@pytest.fixture(scope="session")
def news_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The article that a reader clicks is told by words and histories alone."""
    return topic_world(tmp_path_factory.mktemp("news-world"))


@pytest.fixture(scope="session")
def taste_impressions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The article that a reader clicks is told by the ids of both alone."""
    return taste_world(tmp_path_factory.mktemp("taste-world"))


@pytest.fixture(scope="session")
def mood_impressions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The article that a reader clicks is told by numbers of what was read alone."""
    return mood_world(tmp_path_factory.mktemp("mood-world"))


@pytest.fixture
def on_device(device: str) -> Iterator[str]:
    """Compute on each device there is."""
    import tensorflow as tf

    with tf.device(f"/{device}:0"):
        yield device
