"""Users and items that training has not seen, served over HTTP from a history or from features."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from towermill.errors import DataError
from towermill.pipelines import Bundle, Query
from towermill.pipelines.gates.gates import examine
from towermill.pipelines.recommend.add_items import add_items
from towermill.pipelines.server.app import create_app
from towermill.pipelines.server.metrics import Metrics
from towermill.pipelines.server.service.holder import Holder
from towermill.pipelines.server.settings import Settings

GROUPS, USERS, ITEMS, GIVEN, HIDDEN = 5, 400, 100, 5, 5


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Users who like one fifth of the items, and of whom some are left out of the log.

    Each user has ten items; of half of the known users, and of all new ones, five are kept back.
    """
    rng = np.random.default_rng(5)
    folder = tmp_path_factory.mktemp("cold")
    rows, asked = ["user_id,item_id"], {"known": {}, "new": {}}  # type: ignore[var-annotated]
    for user in range(USERS):
        liked = rng.permutation(np.arange(user % GROUPS, ITEMS, GROUPS))[: GIVEN + HIDDEN]
        names = [f"i{item}" for item in liked]
        new, half = user >= USERS - 100, user % 2
        if new or half:
            asked["new" if new else "known"][f"u{user}"] = names
        kept = [] if new else names[:GIVEN] if half else names
        rows += [f"u{user},{name}" for name in kept]
    (folder / "log.csv").write_text("\n".join(rows) + "\n")
    items = [f"i{item},g{item % GROUPS}" for item in range(ITEMS)]
    (folder / "items.csv").write_text("item_id,genre\n" + "\n".join(items) + "\n")
    return {"folder": folder, "asked": asked}


@pytest.fixture(scope="module")
def bundle(world: dict[str, Any], run_recipe: Any, tmp_path_factory: Any) -> Path:
    recipe = {
        "name": "cold",
        "source": {
            "kind": "table",
            "interactions": {"path": str(world["folder"] / "log.csv")},
            "items": {
                "path": str(world["folder"] / "items.csv"),
                "features": {"genre": "category"},
            },
        },
        "split": {"kind": "random", "by": "row", "validation": 0.05, "test": 0.05},
        "model": {"kind": "history", "embedding_dim": 16, "history_dropout": 0.5},
        "train": {"epochs": 60, "batch_size": 64, "learning_rate": 0.01, "patience": 0},
        "evaluate": {"k": [10]},
    }
    path: Path = run_recipe(recipe, tmp_path_factory.mktemp("cold-run")).bundle
    return path


@pytest.fixture(scope="module")
def client(bundle: Path) -> Iterator[TestClient]:
    metrics = Metrics()
    with TestClient(create_app(Holder(bundle, Bundle.open, metrics), Settings(), metrics)) as one:
        yield one


def recall(client: TestClient, asked: dict[str, list[str]], by: str) -> float:
    """Return recall@20 of the items kept back, and check what the answers were made from."""
    shares = []
    for user, names in asked.items():
        query = {"user_id": user} if by == "user" else {"history": names[:GIVEN]}
        answer = client.post("/recommend", json={**query, "k": 20}).json()
        assert "by" in answer, answer
        assert answer["by"] == by
        found = {item["item_id"] for item in answer["items"]}
        assert not found & set(names[:GIVEN])
        shares.append(len(found & set(names[GIVEN:])) / HIDDEN)
    return float(np.mean(shares))


class TestUsers:
    def test_a_new_user_with_a_history_is_served_like_a_known_one(
        self, world: dict[str, Any], client: TestClient
    ) -> None:
        known = recall(client, world["asked"]["known"], "user")
        new = recall(client, world["asked"]["new"], "history")
        assert known > 0.9
        assert new >= 0.9 * known

    def test_the_answer_says_what_it_was_made_from(self, client: TestClient) -> None:
        def by(**query: Any) -> str:
            found: str = client.post("/recommend", json=query).json()["by"]
            return found

        assert by(user_id="u1") == "user"
        assert by(user_id="nobody") == "default"
        assert by(history=["i1", "i2"]) == "history"
        assert by(history=["unheard of"]) == "default"
        assert by(features={"history": ["i1"]}) == "history"
        assert by(features={"user_id": "u1"}) == "user"

    def test_nobody_gets_the_popular_items(self, bundle: Path, client: TestClient) -> None:
        items = client.post("/recommend", json={"user_id": "nobody", "k": 20}).json()["items"]
        rows = [Bundle.open(bundle).find_item(item["item_id"]) or 0 for item in items]
        assert np.mean(rows) < ITEMS / 4  # rows are by falling frequency

    def test_features_that_name_a_known_user_use_the_stored_history(
        self, client: TestClient
    ) -> None:
        plain = client.post("/recommend", json={"user_id": "u1"}).json()
        named = client.post("/recommend", json={"features": {"user_id": "u1"}}).json()
        assert [item["item_id"] for item in named["items"]] == [
            item["item_id"] for item in plain["items"]
        ]


class TestItems:
    def test_a_new_item_is_recommended_to_those_who_like_its_features(self, bundle: Path) -> None:
        opened, ranks = Bundle.open(bundle), []
        (vector,) = opened.embed_items([{"item_id": "new", "genre": "g3"}])
        for group in range(GROUPS):
            history = [f"i{item}" for item in range(group, 25 + group, GROUPS)]
            (query,) = opened.embed_queries([Query(history=history)])
            scores = opened.index.vectors[:] @ query
            ranks.append(float((scores > vector @ query).mean()))
        # Right behind the fifth of the catalogue that those who like its genre like, or among it.
        assert ranks[3] <= 0.2, ranks
        assert min(ranks[:3] + ranks[4:]) > 0.2, ranks


@pytest.fixture(scope="module")
def added(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("added")
    items = [f"new{group},g{group}" for group in range(GROUPS)]
    (folder / "new.csv").write_text("item_id,genre\n" + "\n".join(items) + "\n")
    before = {p: p.read_bytes() for p in bundle.rglob("*") if p.is_file()}
    assert add_items(bundle, folder / "new.csv", folder / "bundle") == GROUPS
    assert {p: p.read_bytes() for p in bundle.rglob("*") if p.is_file()} == before
    assert sorted(p.name for p in folder.iterdir()) == ["bundle", "new.csv"]
    return folder / "bundle"


@pytest.fixture(scope="module")
def larger(added: Path) -> Iterator[TestClient]:
    metrics = Metrics()
    app = create_app(Holder(added, Bundle.open, metrics), Settings(), metrics)
    with TestClient(app) as client:
        yield client


class TestAddedItems:
    """New items of every genre join the bundle that is served."""

    def test_passes_every_gate(self, added: Path, bundle: Path) -> None:
        assert all(gate["passed"] for gate in examine(added))
        old, new = Bundle.open(bundle).manifest, Bundle.open(added, verify=True).manifest
        assert new.id != old.id
        assert new.rows.items == old.rows.items + GROUPS == ITEMS + GROUPS

    def test_each_is_recommended_to_those_who_like_its_genre(self, larger: TestClient) -> None:
        """Behind the items of its genre that training had, before all of other genres."""
        for user in range(GROUPS):
            query = {"user_id": f"u{user}", "k": ITEMS // GROUPS + 1, "filter_seen": False}
            found = [
                item["item_id"] for item in larger.post("/recommend", json=query).json()["items"]
            ]
            assert [item for item in found if item.startswith("new")] == [f"new{user}"]

    def test_is_an_item_like_others(self, larger: TestClient) -> None:
        assert larger.get("/items/new2").json()["item"] == {"item_id": "new2", "genre": "g2"}
        assert larger.get("/items", params={"query": "new2"}).json()["items"]
        near = larger.get("/similar", params={"item_id": "new2", "k": 5}).json()["items"]
        assert {item["genre"] for item in near} == {"g2"}

    def test_the_tower_does_not_know_them_in_a_history(self, larger: TestClient) -> None:
        def ask(history: list[str]) -> Any:
            return larger.post("/recommend", json={"history": history, "k": 100}).json()

        assert ask(["new1"])["by"] == "default"
        with_new, without = ask(["i1", "new1"]), ask(["i1"])
        assert "new1" not in [item["item_id"] for item in with_new["items"]]
        scores = {item["item_id"]: item["score"] for item in without["items"]}
        assert all(item["score"] == scores[item["item_id"]] for item in with_new["items"][:50])

    def test_more_can_be_added(self, added: Path, tmp_path: Path) -> None:
        (tmp_path / "more.csv").write_text("item_id,genre\nlast,g1\n")
        assert add_items(added, tmp_path / "more.csv", tmp_path / "bundle") == 1
        assert Bundle.open(tmp_path / "bundle").find_item("last") == ITEMS + GROUPS

    @pytest.mark.parametrize(
        ("rows", "message"),
        [
            ("i1,g1\nother,g2\n", "should be new; 1 are in the bundle already, such as 'i1'"),
            ("other,g1\nother,g2\n", "one row an id"),
            ("", "should hold items"),
        ],
    )
    def test_refused(self, bundle: Path, tmp_path: Path, rows: str, message: str) -> None:
        (tmp_path / "new.csv").write_text("item_id,genre\n" + rows)
        with pytest.raises(DataError, match=message):
            add_items(bundle, tmp_path / "new.csv", tmp_path / "bundle")
        assert [p.name for p in tmp_path.iterdir()] == ["new.csv"]

    def test_not_over_another_folder(self, bundle: Path, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="should be written to a folder of its own"):
            add_items(bundle, tmp_path / "new.csv", tmp_path)
