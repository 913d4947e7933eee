"""Clients that send their headers slowly."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import pytest
from live import Live


@pytest.fixture
def connect(serve: Callable[..., Live]) -> Callable[[], socket.socket]:
    """Return a new connection to a server that waits half a second for headers."""
    live = serve(timeout=0.5)
    host, port = live.url.removeprefix("http://").split(":")

    def call() -> socket.socket:
        return socket.create_connection((host, int(port)), timeout=5)

    return call


REQUEST = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"


def closed_after(connection: socket.socket) -> float:
    """Return the seconds until the server closes a connection; a header is sent now and then."""
    started = time.monotonic()
    connection.settimeout(0.1)
    while time.monotonic() < started + 5:
        try:
            connection.sendall(b"X-A: b\r\n")
            if connection.recv(1000) == b"":
                break
        except TimeoutError:
            continue
        except OSError:
            break
    return time.monotonic() - started


def test_headers_that_never_end(connect: Callable[[], socket.socket]) -> None:
    with connect() as connection:
        connection.sendall(REQUEST[:-2])
        assert 0.3 < closed_after(connection) < 4


def test_nothing_at_all(connect: Callable[[], socket.socket]) -> None:
    with connect() as connection:
        assert connection.recv(1) == b""


def test_later_requests_of_a_connection(connect: Callable[[], socket.socket]) -> None:
    with connect() as connection:
        for _ in range(2):
            connection.sendall(REQUEST)
            assert b"200 OK" in connection.recv(1000)
            time.sleep(0.7)  # idle: another limit
        connection.sendall(REQUEST[:-2])
        assert 0.3 < closed_after(connection) < 4
