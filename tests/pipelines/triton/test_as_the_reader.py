"""Trained bundles: a model repository answers as the bundle's own reader does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from stub import Repository

from towermill.pipelines import Bundle
from towermill.pipelines.triton.repository import write_model_repository


@pytest.fixture(scope="module", params=["trained", "news"])
def bundle(request: pytest.FixtureRequest) -> Bundle:
    """A two-tower's of users and features, and one of reading histories."""
    return Bundle.open(request.getfixturevalue(request.param).bundle)


@pytest.fixture(scope="module")
def server(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """What runs its model repository."""
    return Repository(write_model_repository(bundle.path, tmp_path_factory.mktemp("t") / "models"))


def answers(ids: np.ndarray) -> list[list[str]]:
    return [[one.decode() for one in row if one] for row in ids]


def texts(found: Sequence[dict[str, Any]]) -> list[str]:
    return [str(item["item_id"]) for item in found]


class TestAnswers:
    def test_everybody_is_recommended_the_same(self, bundle: Bundle, server: Repository) -> None:
        users = [*map(str, bundle.users.raw("user_id").to_pylist()), "nobody at all"]
        for start in range(0, len(users), 64):
            some = users[start : start + 64]
            found = server.infer("recommend", {"USER_ID": np.array(some)[:, None]})
            wanted = [bundle.recommend(user, 10) for user in some]
            assert answers(found["ITEM_ID"]) == [texts(one.items) for one in wanted]
            assert found["KNOWN"][:, 0].tolist() == [one.known for one in wanted]
            scores = [item["score"] for one in wanted for item in one.items]
            given = found["SCORE"][found["ITEM_ID"] != b""]
            np.testing.assert_allclose(given, scores, rtol=1e-5, atol=1e-6)

    def test_items_are_similar_to_the_same(self, bundle: Bundle, server: Repository) -> None:
        items = list(map(str, bundle.items.raw("item_id").to_pylist()))[:64]
        found = server.infer("similar", {"ITEM_ID": np.array(items)[:, None]})
        wanted = bundle.similar_many(items, 10)
        assert answers(found["SIMILAR_ID"]) == [texts(one) for one in wanted]

    def test_what_is_not_wanted_is_the_same(self, bundle: Bundle, server: Repository) -> None:
        user = str(bundle.users.raw("user_id")[0])
        first = texts(bundle.recommend(user, 4, filter_seen=False).items)
        asked = {
            "USER_ID": [[user]],
            "FILTER_SEEN": [[False]],
            "EXCLUDE": [first[:2]],
            "K": np.array([[2]], np.int32),
        }
        found = server.infer("recommend", asked)
        wanted = bundle.recommend(user, 2, filter_seen=False, exclude=first[:2])
        assert answers(found["ITEM_ID"]) == [texts(wanted.items)] == [first[2:]]
