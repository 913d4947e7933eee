"""A funnel and a blend behind HTTP, with the endpoints of a bundle."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi.testclient import TestClient

from towermill.errors import BundleError
from towermill.pipelines.recommend.open import manifests_of, open_recommender
from towermill.pipelines.server.app import create_app
from towermill.pipelines.server.metrics import Metrics
from towermill.pipelines.server.service.holder import Holder
from towermill.pipelines.server.settings import Settings


def held(path: Path) -> Holder:
    return Holder(path, partial(open_recommender, verify=True), Metrics(), manifests_of)


def served(path: Path) -> TestClient:
    return TestClient(create_app(held(path), Settings(), Metrics()))


@pytest.fixture(scope="module")
def client(funnel_file: Path) -> Iterator[TestClient]:
    with served(funnel_file) as client:
        yield client


@pytest.fixture(scope="module")
def blended(slates_blend: Path) -> Iterator[TestClient]:
    with served(slates_blend) as client:
        yield client


class TestFunnel:
    def test_recommends(self, client: TestClient, funnel: Any, users: list[Any]) -> None:
        body = {"user_id": users[0], "k": 4, "reasons": 1}
        found = client.post("/recommend", json=body).json()
        expected = funnel.recommend(users[0], 4).items
        assert [i["item_id"] for i in found["items"]] == [i["item_id"] for i in expected]
        assert found["by"] == "user"
        assert all(len(item["because"]) == 1 for item in found["items"])
        assert found["bundle"] == funnel.manifest.id
        queries = [{"user_id": users[0], "k": 4}, {"user_id": "nobody"}]
        batch = client.post("/recommend/batch", json={"queries": queries}).json()["answers"]
        assert [i["item_id"] for i in batch[0]["items"]] == [i["item_id"] for i in expected]
        assert not batch[1]["known"]

    def test_has_the_retrievers_catalogue(
        self, client: TestClient, funnel: Any, users: list[Any]
    ) -> None:
        item = funnel.item(0)["item_id"]
        similar = client.get("/similar", params={"item_id": item, "k": 3}).json()["items"]
        expected = funnel.retriever.similar(item, 3)
        assert [i["item_id"] for i in similar] == [i["item_id"] for i in expected]
        assert client.get(f"/items/{item}").json()["item"]["item_id"] == item
        assert client.get(f"/users/{users[0]}").json()["history_length"] > 0
        assert client.get("/items", params={"query": str(item)}).json()["items"]
        assert client.get("/users").json()["users"]

    def test_describes_itself(self, client: TestClient, funnel_file: Path, trained: Any) -> None:
        about = client.get("/bundle").json()
        assert (about["kind"], about["recipe"]) == ("funnel", funnel_file.stem)
        assert set(about["metrics"]) == {"retrieve", "rank"}
        assert client.get("/readyz").json()["status"] == "ready"
        assert "<html" in client.get("/").text

    def test_refuses_readably(self, client: TestClient) -> None:
        answer = client.post("/recommend", json={"history": [1, 2]})
        assert answer.status_code == 422
        assert "takes no `history`" in answer.json()["detail"]


class TestBlend:
    def test_recommends(self, blended: TestClient, slates_blend: Path) -> None:
        found = blended.post("/recommend", json={"user_id": 3, "k": 5, "reasons": 1}).json()
        expected = open_recommender(slates_blend).recommend(3, 5).items
        assert [i["item_id"] for i in found["items"]] == [i["item_id"] for i in expected]
        assert [item["source"] for item in found["items"]] == [0, 0, 1, 1, 1]
        first = expected[0]["item_id"]
        without = blended.post("/recommend", json={"user_id": 3, "k": 4, "exclude": [first]}).json()
        assert first not in [item["item_id"] for item in without["items"]]
        assert len(without["items"]) == 4

    def test_describes_itself(self, blended: TestClient) -> None:
        about = blended.get("/bundle").json()
        assert about["kind"] == "blend"
        assert about["title"] == "headline"
        item = blended.get("/items", params={"query": "1"}).json()["items"][0]["item_id"]
        assert blended.get("/similar", params={"item_id": item}).status_code == 200

    @pytest.mark.parametrize("name", ["history", "candidates"])
    def test_refuses_readably(self, blended: TestClient, name: str) -> None:
        answer = blended.post("/recommend", json={name: [1]})
        assert answer.status_code == 422
        assert answer.json()["detail"] == f"A blend takes no `{name}`. Give a `user_id`."


class TestCommand:
    def test_opens_the_file_and_watches_its_bundles(
        self,
        cli: Callable[..., Any],
        funnel_file: Path,
        trained: Any,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        given: dict[str, Any] = {}
        monkeypatch.setattr(
            "towermill.pipelines.server.command.serve",
            lambda path, *_, **keys: given.update(keys, path=path),
        )
        assert cli("serve", funnel_file, "--watch", "5").code == 0
        assert given["opener"](given["path"]).manifest.kind == "funnel"
        watched = given["watched"](given["path"])
        assert watched[:2] == [funnel_file, trained.bundle / "manifest.json"]
        assert len(watched) == 3


class TestReload:
    def write(self, path: Path, funnel_file: Path, **keys: Any) -> None:
        section = yaml.safe_load(funnel_file.read_text())["funnel"] | keys
        path.write_text(yaml.safe_dump({"funnel": section}))

    def test_another_file_or_bundle(
        self, funnel_file: Path, trained: Any, ease: Any, tmp_path: Path
    ) -> None:
        path, link = tmp_path / "funnel.yaml", tmp_path / "link"
        link.symlink_to(trained.bundle)
        self.write(path, funnel_file, retrieve="link")
        holder = held(path)
        first, mark = holder.current.id, holder._mark()
        assert not asyncio.run(holder.reload())
        link.unlink()
        link.symlink_to(ease.bundle)
        assert holder._mark() != mark
        assert asyncio.run(holder.reload())
        assert holder.current.bundle.lead.path == ease.bundle.resolve()
        self.write(path, funnel_file, candidates=7)
        assert asyncio.run(holder.reload())
        assert holder.current.id != first

    def test_a_wrong_file_is_refused(self, funnel_file: Path, tmp_path: Path) -> None:
        path = tmp_path / "funnel.yaml"
        self.write(path, funnel_file)
        holder = held(path)
        first = holder.current.id
        for keys, message in (
            ({"candidates": 0}, "is not a valid funnel"),
            ({"rank": "nowhere"}, "No bundle at"),
        ):
            self.write(path, funnel_file, **keys)
            with pytest.raises(BundleError, match=message):
                asyncio.run(holder.reload())
        assert holder.current.id == first
