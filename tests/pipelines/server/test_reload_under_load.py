"""A new bundle takes the old one's place while 200 requests a second run, in a server's process."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from towermill.pipelines import Bundle

RATE, SECONDS = 200, 5


@pytest.fixture
def bundles(trained: Any, tmp_path: Path) -> list[Path]:
    """Two bundles of one catalogue that recommend differently, and a link to the first."""
    other = trained.changed(tmp_path / "runs", train={"epochs": 1}).bundle
    (tmp_path / "latest").symlink_to(trained.bundle.resolve())
    return [trained.bundle.resolve(), other.resolve()]


async def load(url: str, users: list[int], swap: Any) -> list[tuple[int, int, dict[str, Any]]]:
    """Ask at an even rate, whatever comes back; return user, status and answer of each request."""
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:

        async def ask(number: int) -> tuple[int, int, dict[str, Any]]:
            user = users[number % len(users)]
            answer = await client.post("/recommend", json={"user_id": user, "k": 5})
            return user, answer.status_code, answer.json()

        begun, asked = time.perf_counter(), []
        for number in range(RATE * SECONDS):
            if number == RATE * SECONDS // 3:
                swap()
            await asyncio.sleep(max(0.0, begun + number / RATE - time.perf_counter()))
            asked.append(asyncio.create_task(ask(number)))
        return list(await asyncio.gather(*asked))


def test_no_request_fails_and_none_is_mixed(bundles: list[Path], tmp_path: Path) -> None:
    opened = {found.manifest.id: found for found in map(Bundle.open, bundles)}
    first, second = opened
    users = opened[first].users.raw("user_id").to_pylist()[:40]
    expected = {
        (name, user): [item["item_id"] for item in bundle.recommend(user, 5).items]
        for name, bundle in opened.items()
        for user in users
    }
    assert [expected[first, user] for user in users] != [expected[second, user] for user in users]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    link = tmp_path / "latest"
    command = [sys.executable, "-m", "towermill.cli.app", "serve", str(link), "--port", str(port)]
    with subprocess.Popen([*command, "--log-level", "warning"]) as server:
        try:
            for _ in range(600):
                assert server.poll() is None
                try:
                    if httpx.get(f"{url}/readyz").status_code == 200:
                        break
                except httpx.TransportError:
                    time.sleep(0.1)

            def swap() -> None:
                (tmp_path / "next").symlink_to(bundles[1])
                (tmp_path / "next").rename(link)
                os.kill(server.pid, signal.SIGHUP)

            answers = asyncio.run(load(url, users, swap))
        finally:
            server.terminate()
    assert len(answers) == RATE * SECONDS
    assert {status for _, status, _ in answers} == {200}
    assert {answer["bundle"] for _, _, answer in answers} == {first, second}
    for user, _, answer in answers:
        found = [item["item_id"] for item in answer["items"]]
        assert found == expected[answer["bundle"], user]
