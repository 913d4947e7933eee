"""Serve for a long time under load, reloads and bad clients: memory, answers and latencies.

    python tests/faults/soak.py RUNS/A/latest/bundle RUNS/B/latest/bundle --minutes 20

Both bundles are of one catalogue. First the top rate is measured: requests of eight clients, one
after the other each. Then, at half of it, all at once: requests for known users, whose answers are
compared with those of the two bundles; the link to the bundle swapped and the server told to reload
every `--reload` seconds; clients that read their answer a byte at a time; bodies that are no JSON,
too long, or cut. Memory is that of the server's process, measured each second: its mean in the last
fifth of the time is compared with that in the second fifth (the first warms up).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

from towermill.pipelines import Bundle

K = 10
BAD = (b"{", b"[]", b'{"user_id": ', b"\xff\xfe", b'{"k": "ten"}', b"x" * (2 << 20))


class Soak:
    """One server, its clients, and what they saw."""

    def __init__(
        self, url: str, answers: dict[tuple[str, Any], list[Any]], users: list[Any]
    ) -> None:
        self.url, self.answers, self.users = url, answers, users
        self.seconds: list[float] = []
        self.counts = {
            "right": 0,
            "wrong": 0,
            "failed": 0,
            "bad bodies": 0,
            "slow": 0,
            "reloads": 0,
        }

    async def ask(self, client: httpx.AsyncClient, user: Any) -> None:
        """Ask for a user's recommendations and compare them."""
        begun = time.perf_counter()
        try:
            answer = await client.post("/recommend", json={"user_id": user, "k": K})
        except httpx.HTTPError:
            self.counts["failed"] += 1
            return
        self.seconds.append(time.perf_counter() - begun)
        if answer.status_code != 200:
            self.counts["failed"] += 1
            return
        content = answer.json()
        found = [item["item_id"] for item in content["items"]]
        right = found == self.answers[content["bundle"], user]
        self.counts["right" if right else "wrong"] += 1

    async def top_rate(self, seconds: float = 10) -> float:
        """Return requests a second of eight clients that wait for each answer."""
        async with httpx.AsyncClient(base_url=self.url, timeout=30) as client:
            end = time.monotonic() + seconds

            async def one() -> int:
                count = 0
                while time.monotonic() < end:
                    await self.ask(client, random.choice(self.users))
                    count += 1
                return count

            return sum(await asyncio.gather(*(one() for _ in range(8)))) / seconds

    async def at_rate(self, rate: float, end: float) -> None:
        """Ask at an even rate, whatever comes back."""
        async with httpx.AsyncClient(base_url=self.url, timeout=30) as client:
            tasks: set[asyncio.Task[None]] = set()
            due = time.monotonic()
            while due < end:
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                task = asyncio.create_task(self.ask(client, random.choice(self.users)))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                due += 1 / rate
            await asyncio.gather(*tasks)

    async def bad_bodies(self, end: float) -> None:
        """Send bodies that are refused, five a second."""
        async with httpx.AsyncClient(base_url=self.url, timeout=30) as client:
            while time.monotonic() < end:
                with contextlib.suppress(httpx.HTTPError):
                    answer = await client.post("/recommend", content=random.choice(BAD))
                    assert answer.status_code in (413, 422), answer.status_code
                self.counts["bad bodies"] += 1
                await asyncio.sleep(0.2)

    async def slow_reader(self, end: float) -> None:
        """Ask, and read the answer a byte each hundredth of a second."""
        host, port = self.url.removeprefix("http://").split(":")
        while time.monotonic() < end:
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(
                b"GET /items?query=a&limit=100 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            )
            while await reader.read(1) and time.monotonic() < end:
                await asyncio.sleep(0.01)
            writer.close()
            self.counts["slow"] += 1


async def soak(
    found: Soak, server: subprocess.Popen[bytes], swap: Any, seconds: float, reload: float
) -> tuple[float, list[int]]:
    """Return the rate, and the server's resident bytes each second."""
    rate = await found.top_rate() / 2
    found.seconds.clear()
    end, sizes = time.monotonic() + seconds, []
    process = psutil.Process(server.pid)

    async def watch() -> None:
        while time.monotonic() < end:
            sizes.append(process.memory_info().rss)
            await asyncio.sleep(1)

    async def reloads() -> None:
        while time.monotonic() < end - reload:
            await asyncio.sleep(reload)
            swap()
            found.counts["reloads"] += 1

    slow = [found.slow_reader(end) for _ in range(4)]
    await asyncio.gather(found.at_rate(rate, end), found.bad_bodies(end), watch(), reloads(), *slow)
    return rate, sizes


def main() -> None:
    """Run it and print what it saw as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("bundles", nargs=2, type=Path)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--reload", type=float, default=15)
    options = parser.parse_args()
    paths = [path.resolve() for path in options.bundles]
    opened = {bundle.manifest.id: bundle for bundle in map(Bundle.open, paths)}
    users = opened[next(iter(opened))].users.raw("user_id").to_pylist()[:200]
    answers = {
        (name, user): [item["item_id"] for item in bundle.recommend(user, K).items]
        for name, bundle in opened.items()
        for user in users
    }
    with tempfile.TemporaryDirectory() as scratch:
        link = Path(scratch) / "latest"
        link.symlink_to(paths[0])
        command = [sys.executable, "-m", "towermill.cli.app", "serve", str(link), "--port", "0"]
        with subprocess.Popen(command, stderr=subprocess.PIPE) as server:
            assert server.stderr is not None
            url = next(
                match[0].decode()
                for line in server.stderr
                if (match := re.search(rb"http://[\d.]+:\d+", line))
            )
            # Its log is read, or it would wait.
            threading.Thread(target=server.stderr.read, daemon=True).start()
            time.sleep(2)
            turns = itertools.cycle([paths[1], paths[0]])

            def swap() -> None:
                (Path(scratch) / "next").symlink_to(next(turns))
                (Path(scratch) / "next").rename(link)
                os.kill(server.pid, signal.SIGHUP)

            found = Soak(url, answers, users)
            rate, sizes = asyncio.run(
                soak(found, server, swap, options.minutes * 60, options.reload)
            )
            server.terminate()
    fifth = len(sizes) // 5
    early, late = np.mean(sizes[fifth : 2 * fifth]), np.mean(sizes[-fifth:])
    sys.stdout.write(
        json.dumps(
            {
                "minutes": options.minutes,
                "requests_per_second": round(rate, 1),
                **found.counts,
                "p50_ms": round(float(np.percentile(found.seconds, 50)) * 1000, 1),
                "p99_ms": round(float(np.percentile(found.seconds, 99)) * 1000, 1),
                "memory_early_mib": round(early / 2**20, 1),
                "memory_late_mib": round(late / 2**20, 1),
                "memory_growth": round(float(late / early) - 1, 4),
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
