"""Bodies that are too long or too slow, whatever their headers say."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator

import pytest
from live import Live

HEAD = b"POST /recommend HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@pytest.fixture
def small(serve: Callable[..., Live]) -> Live:
    return serve(max_body=1000, timeout=1.0, max_ids=3, max_k=10, max_queries=2)


def exchange(live: Live, *parts: bytes) -> bytes:
    """Send bytes as they are, and return all that comes until the server closes."""
    address = ("127.0.0.1", int(live.url.rpartition(":")[2]))
    found = b""
    with socket.create_connection(address, timeout=10) as connection:
        for part in parts:
            try:
                connection.sendall(part)
            except (BrokenPipeError, ConnectionResetError):
                break
        while True:
            try:
                received = connection.recv(65536)
            except ConnectionResetError:
                return found
            if not received:
                return found
            found += received


class TestBody:
    def test_up_to_the_limit(self, small: Live) -> None:
        body = json.dumps({"user_id": 1}).encode()
        for length, status in ((1000, 200), (1001, 413)):
            content = body + b" " * (length - len(body))
            headers = {"Content-Type": "application/json"}
            answer = small.client.post("/recommend", content=content, headers=headers)
            assert answer.status_code == status
            if status == 413:
                assert "at most 1000 bytes" in answer.json()["detail"]

    def test_without_a_length(self, small: Live) -> None:
        def chunks() -> Iterator[bytes]:
            for _ in range(20):
                yield b" " * 100

        headers = {"Content-Type": "application/json"}
        answer = small.client.post("/recommend", content=chunks(), headers=headers)
        assert answer.status_code == 413

    def test_endless_is_cut_off(self, small: Live) -> None:
        chunk = b"186a0\r\n" + b" " * 100_000 + b"\r\n"
        found = exchange(small, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 2000)
        # What is still under way when the server closes may throw its answer away.
        assert found == b"" or found.startswith(b"HTTP/1.1 413")
        assert small.get("/healthz").status_code == 200

    def test_large_by_its_own_word(self, small: Live) -> None:
        found = exchange(small, HEAD + b"Content-Length: 9999999999\r\n\r\n{")
        assert found.startswith(b"HTTP/1.1 413")

    def test_too_slow(self, small: Live) -> None:
        found = exchange(small, HEAD + b"Content-Length: 20\r\n\r\n{")
        assert found.startswith(b"HTTP/1.1 408")
        assert small.counted("towermill_requests_under_way") == 1

    def test_of_a_get_is_not_read(self, small: Live) -> None:
        answer = small.client.request("GET", "/healthz", content=b" " * 5000)
        assert answer.status_code == 200


class TestCounts:
    @pytest.mark.parametrize(
        "body",
        [
            {"k": 11},
            {"history": ["i1"] * 4},
            {"exclude": ["i1"] * 4},
            {"candidates": ["i1"] * 4},
            {"features": {"age": [1] * 4}},
        ],
    )
    def test_of_a_query(self, small: Live, body: dict[str, object]) -> None:
        answer = small.post("/recommend", **body)
        assert answer.status_code == 422
        assert "at most" in answer.json()["detail"]

    def test_of_calls(self, small: Live) -> None:
        assert small.post("/similar/batch", item_ids=["i1"] * 3).status_code == 422
        assert small.post("/similar", item_id="i1", k=11).status_code == 422
        assert small.get("/recommend", user_id=1, k=11).status_code == 422
        assert small.post("/recommend", k=10, history=["i1"] * 3).status_code == 200
