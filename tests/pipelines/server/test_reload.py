"""Another bundle in the place of the one that is served."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from circle import CircleBundle, write_bundle
from live import Live, start


def eventually(true: Callable[[], bool]) -> None:
    for _ in range(1000):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("it never became true")


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """A link to a bundle, as of a recipe's newest run."""
    write_bundle(tmp_path / "first", "one")
    (tmp_path / "latest").symlink_to("first")
    return tmp_path / "latest"


def point(link: Path, name: str) -> None:
    """Move a link in one step."""
    new = link.with_name("new-link")
    new.symlink_to(name)
    new.rename(link)


def sources(answer: dict[str, Any]) -> set[str]:
    """Return the bundles that any part of an answer is from."""
    lists = [found["items"] for found in answer.get("answers", [answer])]
    items = [item for items in lists for item in items]
    items += [reason for item in items for reason in item.get("because", [])]
    return {answer["bundle"], *(item["made_by"] for item in items)}


class TestUnderLoad:
    def test_no_request_fails_and_no_answer_is_mixed(self, linked: Path) -> None:
        live = start(linked, api_key="k")
        write_bundle(linked.with_name("second"), "two")
        stop = threading.Event()
        answers: list[list[tuple[int, set[str]]]] = [[] for _ in range(6)]

        def load(found: list[tuple[int, set[str]]], place: int) -> None:
            bodies = [
                ("/recommend", {"user_id": place + 1, "k": 5, "reasons": 2}),
                ("/recommend/batch", {"queries": [{"user_id": u} for u in range(1, 9)]}),
                ("/similar", {"item_id": f"i{place + 5}", "k": 5}),
            ]
            with httpx.Client(base_url=live.url, headers={"X-API-Key": "k"}) as client:
                while not stop.is_set():
                    path, body = bodies[len(found) % 3]
                    answer = client.post(path, json=body)
                    content = answer.json()
                    from_header = answer.headers["X-Towermill-Bundle"]
                    found.append((answer.status_code, {from_header, *sources(content)}))

        threads = [
            threading.Thread(target=load, args=(found, i)) for i, found in enumerate(answers)
        ]
        for thread in threads:
            thread.start()
        for turn in range(12):
            folder, name = ("first", "one") if turn % 2 else ("second", "two")
            point(linked, folder)
            assert live.post("/admin/reload").json()["changed"] is True
            eventually(lambda name=name: all(f and f[-1][1] == {name} for f in answers))
        stop.set()
        for thread in threads:
            thread.join()
        all_answers = [answer for found in answers for answer in found]
        assert {status for status, _ in all_answers} == {200}
        assert {frozenset(names) for _, names in all_answers} == {
            frozenset({"one"}),
            frozenset({"two"}),
        }
        for found in answers:  # from the old to the new each time, never back
            begun_on_old = found[0][1] == {"one"}
            assert sum(a[1] != b[1] for a, b in pairwise(found)) == 11 + begun_on_old
        assert live.counted('towermill_reloads_total{outcome="loaded"}') == 12
        live.stop()

    def test_a_batch_that_was_begun_is_finished_on_the_old_one(
        self, serve: Callable[..., Live]
    ) -> None:
        live = serve(api_key="k", threads=1)
        old = live.bundle
        old.may_answer.clear()
        found: list[dict[str, Any]] = []
        body = {"user_id": 3, "reasons": 1}
        asked = threading.Thread(
            target=lambda: found.append(live.post("/recommend", **body).json())
        )
        asked.start()
        eventually(lambda: old.batches == [1, 1])  # the first was to warm it
        live.path.rename(live.path.with_name("old"))
        write_bundle(live.path, "two")
        assert live.post("/admin/reload").json() == {"bundle": "two", "changed": True}
        assert live.get("/readyz").json()["bundle"] == "two"
        old.may_answer.set()
        asked.join()
        assert sources(found[0]) == {"one"}


class TestRefused:
    def test_the_old_one_stays(self, serve: Callable[..., Live]) -> None:
        live = serve(api_key="k")
        since = live.get("/readyz").json()["since"]
        (live.path / "manifest.json").write_text('{"id": "half')
        refused = live.post("/admin/reload")
        assert refused.status_code == 409
        assert "No bundle" in refused.json()["detail"]
        shutil.rmtree(live.path)
        assert live.post("/admin/reload").status_code == 409
        assert live.post("/recommend", user_id=1).json()["bundle"] == "one"
        assert live.get("/readyz").json()["since"] == since
        assert live.counted('towermill_reloads_total{outcome="refused"}') == 2
        write_bundle(live.path, "two")
        assert live.post("/admin/reload").json() == {"bundle": "two", "changed": True}
        assert live.counted('towermill_bundle_info{id="one",kind="retriever",recipe="circle"}') == 0
        assert live.counted('towermill_bundle_info{id="two",kind="retriever",recipe="circle"}') == 1

    def test_one_that_opens_and_cannot_answer(
        self, serve: Callable[..., Live], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        live = serve(api_key="k")
        monkeypatch.setattr(CircleBundle, "answer", lambda self, queries: 1 / 0)
        refused = live.post("/admin/reload")
        assert refused.status_code == 409
        assert "does not work: ZeroDivisionError" in refused.json()["detail"]
        monkeypatch.undo()
        assert live.post("/recommend", user_id=1).status_code == 200


class TestWatch:
    def test_follows_link_and_rename(self, linked: Path) -> None:
        live = start(linked, watch=0.05)
        served = lambda: live.get("/readyz").json()["bundle"]  # noqa: E731
        assert served() == "one"
        write_bundle(linked.with_name("second"), "two")
        point(linked, "second")
        eventually(lambda: served() == "two")
        second = linked.with_name("second")
        second.rename(linked.with_name("away"))
        write_bundle(second, "three")
        eventually(lambda: served() == "three")
        live.stop()

    def test_what_is_refused_is_tried_once(self, linked: Path) -> None:
        live = start(linked, watch=0.02)
        refused = lambda: live.counted('towermill_reloads_total{outcome="refused"}')  # noqa: E731
        linked.unlink()
        eventually(lambda: refused() == 1)
        time.sleep(0.3)
        assert refused() == 1
        linked.symlink_to("first")
        eventually(lambda: live.counted('towermill_reloads_total{outcome="unchanged"}') == 1)
        assert live.post("/recommend", user_id=1).status_code == 200
        live.stop()
