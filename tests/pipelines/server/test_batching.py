"""Batches: what is computed together, what waits, and that nobody suffers from another."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from circle import POISON
from live import Live


@pytest.fixture
def crowd() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(40) as threads:
        yield threads


def eventually(true: Callable[[], bool]) -> None:
    for _ in range(1000):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("it never became true")


def waiting(live: Live) -> int:
    length: int = live.app.state.serving.recommend._length
    return length


def block(live: Live, crowd: ThreadPoolExecutor, users: list[Any]) -> list[Future[httpx.Response]]:
    """Hold a batch of one in the bundle, and have more requests wait behind it."""
    live.bundle.may_answer.clear()
    live.bundle.batches.clear()
    asked = [crowd.submit(live.post, "/recommend", user_id=1, k=3)]
    eventually(lambda: live.bundle.batches == [1])
    asked += [crowd.submit(live.post, "/recommend", user_id=user, k=3) for user in users]
    eventually(lambda: waiting(live) == len(users))
    return asked


class TestTogether:
    def test_idle_begins_at_once(self, serve: Callable[..., Live]) -> None:
        live = serve(wait=600.0)
        live.bundle.batches.clear()
        assert live.post("/recommend", user_id=1).status_code == 200  # else 504
        assert live.bundle.batches == [1]

    def test_what_waits_goes_together(
        self, serve: Callable[..., Live], crowd: ThreadPoolExecutor
    ) -> None:
        live = serve(threads=1, max_batch=8)
        asked = block(live, crowd, [*range(2, 12)])
        assert live.counted('towermill_queue_length{kind="recommend"}') == 10
        live.bundle.may_answer.set()
        found = [one.result().json() for one in asked]
        assert live.bundle.batches == [1, 8, 2]
        alone = [live.post("/recommend", user_id=user, k=3).json() for user in range(1, 12)]
        assert sorted(map(str, found)) == sorted(map(str, alone))
        assert live.counted('towermill_batch_size_sum{kind="recommend"}') == 22

    def test_a_free_thread_waits_for_company(
        self, serve: Callable[..., Live], crowd: ThreadPoolExecutor
    ) -> None:
        live = serve(threads=2, wait=0.5)
        asked = block(live, crowd, [2, 3, 4])
        eventually(lambda: live.bundle.batches == [1, 3])
        live.bundle.may_answer.set()
        assert [one.result().status_code for one in asked] == [200] * 4

    def test_a_call_is_not_divided(
        self, serve: Callable[..., Live], crowd: ThreadPoolExecutor
    ) -> None:
        live = serve(threads=1, max_batch=4)
        asked = block(live, crowd, [2, 3])
        queries = [{"user_id": user} for user in range(1, 7)]
        asked.append(crowd.submit(live.post, "/recommend/batch", queries=queries))
        eventually(lambda: waiting(live) == 8)
        live.bundle.may_answer.set()
        assert [one.result().status_code for one in asked] == [200] * 4
        assert live.bundle.batches == [1, 2, 6]

    def test_similar_of_several_k(self, serve: Callable[..., Live]) -> None:
        live = serve(threads=1)
        similar = live.app.state.serving.similar
        wanted = [("i7", 3), ("i8", 2), ("i7", 2), ("i9", 3)]
        found = similar._answer(live.holder.current, wanted)
        assert [len(items) for items in found] == [3, 2, 2, 3]
        assert found == [live.bundle.similar_many([item], k)[0] for item, k in wanted]


class TestApart:
    def test_a_query_that_breaks_fails_alone(
        self, serve: Callable[..., Live], crowd: ThreadPoolExecutor
    ) -> None:
        live = serve(threads=1)
        asked = block(live, crowd, [2, POISON, 3])
        live.bundle.may_answer.set()
        answers = [one.result() for one in asked]
        assert [answer.status_code for answer in answers] == [200, 200, 500, 200]
        broken = answers[2]
        assert broken.headers["X-Request-ID"] in broken.json()["detail"]
        assert "poison" not in broken.text

    def test_a_wrong_query_never_joins(self, serve: Callable[..., Live]) -> None:
        live = serve()
        live.bundle.batches.clear()
        assert live.post("/recommend", features={"no": 1}).status_code == 422
        assert live.bundle.batches == []

    def test_gone_clients(self, serve: Callable[..., Live]) -> None:
        live = serve(threads=1)
        live.bundle.may_answer.clear()
        body = b'{"user_id": 1}'
        head = b"POST /recommend HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        whole = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
        address = ("127.0.0.1", int(live.url.rpartition(":")[2]))
        for sent in [whole] * 20 + [whole[:-5]] * 20 + [head] * 5:
            with socket.create_connection(address) as connection:
                connection.sendall(sent)
        eventually(lambda: waiting(live) >= 19)
        live.bundle.may_answer.set()
        eventually(lambda: live.counted("towermill_requests_under_way") == 1)
        assert live.post("/recommend", user_id=1).status_code == 200
        assert live.counted('towermill_queue_length{kind="recommend"}') == 0


class TestTooMuch:
    def test_full_queue(self, serve: Callable[..., Live], crowd: ThreadPoolExecutor) -> None:
        live = serve(threads=1, max_queue=3, max_queries=3)
        asked = block(live, crowd, [2, 3, 4])
        refused = live.post("/recommend", user_id=5)
        assert refused.status_code == 503
        assert refused.headers["Retry-After"] == "1"
        assert live.get("/healthz").status_code == live.get("/readyz").status_code == 200
        live.bundle.may_answer.set()
        assert [one.result().status_code for one in asked] == [200] * 4
        assert live.post("/recommend", user_id=5).status_code == 200

    def test_late(self, serve: Callable[..., Live], crowd: ThreadPoolExecutor) -> None:
        live = serve(threads=1, timeout=2.0)
        live.bundle.may_answer.clear()
        live.bundle.batches.clear()
        asked = [crowd.submit(live.post, "/recommend", user_id=user) for user in range(1, 6)]
        assert [one.result().status_code for one in asked] == [504] * 5
        live.bundle.may_answer.set()
        assert live.post("/recommend", user_id=1).status_code == 200
        assert live.bundle.batches == [1, 1]  # those that nobody waited for were not computed

    def test_full_lookups(
        self, serve: Callable[..., Live], crowd: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        live = serve(threads=1, max_queue=2, max_queries=2, timeout=0.5)
        find_item, live.bundle.seconds = live.bundle.find_item, 1.0
        monkeypatch.setattr(
            live.bundle, "find_item", lambda raw: time.sleep(live.bundle.seconds) or find_item(raw)
        )
        asked = [crowd.submit(live.get, "/items/i1") for _ in range(4)]
        assert sorted(one.result().status_code for one in asked) == [503, 503, 504, 504]
        live.bundle.seconds = 0
        eventually(lambda: live.get("/items/i1").status_code == 200)
