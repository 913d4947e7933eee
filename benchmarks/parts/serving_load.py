"""A server under a constant rate of requests: latency and errors.

    .venv/bin/python benchmarks/parts/serving_load.py http://127.0.0.1:8000 [--rate 500]
        [--seconds 30] [--connections 64] [--users 1 2 3 | --users-file ids.txt] [-k 10] [--json]

Open loop: requests are due at even intervals whatever the server does, and a latency counts from
when its request was due, so a stall shows in every request that it held up (no coordinated
omission). It runs in a separate process, on raw sockets with keep-alive: a request costs the
client a write and a read of the answer's head and length. Requests are for users in turn; without
`--users` they are those that the server's own ``/users`` names.

The first second warms, and is not counted. Exits with 1 if any request failed.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

WARM_UP = 1.0  # seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("--rate", type=float, default=500.0)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--users", nargs="+")
    parser.add_argument("--users-file", type=Path, help="one id a line")
    parser.add_argument("-k", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    users = options.users or (
        options.users_file.read_text().split() if options.users_file else _sample(options.url)
    )
    found = measure(
        options.url, users, options.rate, options.seconds, options.connections, options.k
    )
    if options.json:
        sys.stdout.write(json.dumps(found) + "\n")
    else:
        sys.stdout.write("  ".join(f"{name} {value}" for name, value in found.items()) + "\n")
    sys.exit(bool(found["errors"]))


def measure(
    url: str, users: list[str], rate: float, seconds: float, connections: int, k: int
) -> dict[str, Any]:
    """Return requests a second, latencies in milliseconds and errors of a run."""
    load = Load(url, [_request(url, user, k) for user in users], rate, seconds)
    try:
        import uvloop

        new_loop = uvloop.new_event_loop
    except ImportError:
        new_loop = None
    with asyncio.Runner(loop_factory=new_loop) as runner:
        # A pause of this client would count as one of the server.
        gc.disable()
        runner.run(load.run(connections))
        gc.enable()
    return load.summary()


class Load:
    """Requests at a constant rate."""

    def __init__(self, url: str, requests: list[bytes], rate: float, seconds: float) -> None:
        address = urlsplit(url)
        self._host, self._port = str(address.hostname), address.port or 80
        self._requests = requests
        self._rate = rate
        self._count = int(rate * (seconds + WARM_UP))
        self._next = 0
        self._latencies: list[float] = []
        self._errors: Counter[str] = Counter()
        self._began = self._ended = 0.0

    async def run(self, connections: int) -> None:
        """Send all requests, each by the first connection that is free once it is due."""
        self._began = time.perf_counter()
        await asyncio.gather(*(self._connection() for _ in range(connections)))
        self._ended = time.perf_counter()

    async def _connection(self) -> None:
        streams = None
        while self._next < self._count:
            number, self._next = self._next, self._next + 1
            due = self._began + number / self._rate
            ahead = due - time.perf_counter()
            if ahead > 0:
                await asyncio.sleep(ahead)
            try:
                if streams is None:
                    streams = await asyncio.open_connection(self._host, self._port)
                status = await _exchange(*streams, self._requests[number % len(self._requests)])
            except (OSError, asyncio.IncompleteReadError) as error:
                status, streams = type(error).__name__, None
            if due >= self._began + WARM_UP:
                self._latencies.append(time.perf_counter() - due)
                if status != "200":
                    self._errors[status] += 1
        if streams is not None:
            streams[1].close()

    def summary(self) -> dict[str, Any]:
        """Return what was measured."""
        ordered = sorted(self._latencies)

        def quantile(share: float) -> float:
            return round(1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2)

        return {
            "requests": len(ordered),
            "requests/s": round(len(ordered) / (self._ended - self._began - WARM_UP), 1),
            "p50 ms": quantile(0.5),
            "p90 ms": quantile(0.9),
            "p99 ms": quantile(0.99),
            "p99.9 ms": quantile(0.999),
            "max ms": quantile(1.0),
            "errors": sum(self._errors.values()),
            **self._errors,
        }


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> str:
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
    await reader.readexactly(int(length))
    return head[9:12].decode()


def _request(url: str, user: str, k: int) -> bytes:
    value: Any = int(user) if user.isdigit() else user
    body = json.dumps({"user_id": value, "k": k}).encode()
    head = (
        f"POST /recommend HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _sample(url: str) -> list[str]:
    with urllib.request.urlopen(f"{url}/users?limit=100") as answer:
        return [str(user["user_id"]) for user in json.load(answer)["users"]]


if __name__ == "__main__":
    main()
