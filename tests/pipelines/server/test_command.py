"""`towermill serve` as a process: its log, its signals, its end; and what it refuses at once."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from circle import write_bundle
from process import Process

from towermill.errors import BundleError, SetupError
from towermill.pipelines.server.command import listen, serve
from towermill.pipelines.server.settings import Settings, read_api_key


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    begun: list[Process] = []

    def start(*settings: str, seconds: float = 0.0) -> Process:
        path = write_bundle(tmp_path / "bundle", "one")
        manifest = json.loads((path / "manifest.json").read_text())
        (path / "manifest.json").write_text(json.dumps({**manifest, "seconds": seconds}))
        begun.append(Process(path, *settings))
        return begun[-1]

    yield start
    for one in begun:
        one.process.kill()
        one.process.wait()


class TestEnd:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_what_was_begun_is_answered(
        self, begin: Callable[..., Process], number: signal.Signals
    ) -> None:
        server = begin("threads=1", "max_batch=2", seconds=0.4)
        with ThreadPoolExecutor(9) as threads, httpx.Client(base_url=server.url) as client:
            asked = [
                threads.submit(client.post, "/recommend", json={"user_id": user})
                for user in range(1, 9)
            ]
            for _ in range(200):
                metrics = httpx.get(f"{server.url}/metrics").text
                if re.search(r"^towermill_requests_under_way 9", metrics, re.MULTILINE):
                    break
            server.process.send_signal(number)
            server.wait_for("Shutting down")
            assert [one.result().status_code for one in asked] == [200] * 8
        assert server.process.wait(20) in (-number, 130)
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{server.url}/healthz")


class TestLog:
    def test_text_at_a_terminal(self, tmp_path: Path) -> None:
        path = write_bundle(tmp_path / "bundle", "one")
        ours, theirs = os.openpty()
        script = Path(__file__).parent / "world" / "served.py"
        with subprocess.Popen([sys.executable, str(script), str(path)], stderr=theirs) as process:
            os.close(theirs)
            try:
                said = ""
                while "startup complete" not in said:
                    said += os.read(ours, 4096).decode()
                found = re.search(r"\d\d:\d\d:\d\d  serving bundle one at (http://\S+)", said)
                assert found, said
                assert "open that address in a browser; Ctrl-C stops the server" in said
                httpx.get(f"{found[1]}/recommend?user_id=3")
                while "recommend" not in said:
                    said += os.read(ours, 4096).decode()
                assert re.search(r":\d\d  GET /recommend 200, [\d.]+ ms", said), said
            finally:
                process.terminate()
        os.close(ours)

    def test_a_line_a_request(self, begin: Callable[..., Process]) -> None:
        server = begin()
        headers = {"X-Request-ID": "mine"}
        httpx.get(f"{server.url}/recommend?user_id=3", headers=headers)
        httpx.get(f"{server.url}/items/none")
        httpx.get(f"{server.url}/nowhere%0aelse")
        server.end()
        lines = [line for line in server.log if line["message"] == "request"]
        assert [(line["route"], line["status"]) for line in lines] == [
            ("/recommend", 200),
            ("/items/{item_id:any}", 404),
            ("unmatched", 404),
        ]
        first = lines[0]
        assert (first["request_id"], first["method"], first["bundle"]) == ("mine", "GET", "one")
        assert 0 < first["milliseconds"] < 5000
        assert first["time"].startswith("20")
        assert lines[1]["bundle"] is None

    def test_a_failure_has_its_traceback(self, begin: Callable[..., Process]) -> None:
        server = begin()
        failed = httpx.post(f"{server.url}/recommend", json={"user_id": 13})
        assert failed.status_code == 500
        server.end()
        [line] = server.lines("request failed")
        assert line["request_id"] == failed.headers["X-Request-ID"]
        assert "ZeroDivisionError: poison" in line["traceback"]


class TestHangUp:
    def test_reloads(self, begin: Callable[..., Process], tmp_path: Path) -> None:
        server = begin()
        (tmp_path / "bundle" / "manifest.json").write_text("no")
        server.process.send_signal(signal.SIGHUP)
        assert server.wait_for("bundle refused")["level"] == "error"
        (tmp_path / "bundle").rename(tmp_path / "wrong")
        write_bundle(tmp_path / "bundle", "two")
        server.process.send_signal(signal.SIGHUP)
        server.wait_for("bundle loaded: two")
        assert httpx.get(f"{server.url}/readyz").json()["bundle"] == "two"
        assert server.end() == -signal.SIGTERM


class TestRefusedAtOnce:
    def test_port_in_use(self, tmp_path: Path) -> None:
        with listen("127.0.0.1", 0) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(SetupError, match=rf"Cannot listen on 127.0.0.1:{port}: .*in use"):
                serve(tmp_path, port=port)

    @pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 70_000), ("no.such.host.invalid", 0)])
    def test_nowhere_to_listen(self, host: str, port: int) -> None:
        with pytest.raises(SetupError, match="Cannot listen"):
            listen(host, port)

    def test_ipv6(self) -> None:
        if not socket.has_ipv6 or not os.path.exists("/proc/net/if_inet6"):  # noqa: PTH110
            pytest.skip("this machine has no IPv6")
        with listen("::1", 0) as found:
            assert found.family == socket.AF_INET6

    def test_no_bundle(self, tmp_path: Path) -> None:
        with pytest.raises(BundleError, match="No bundle"):
            serve(tmp_path / "none", port=0)

    def test_wrong_options(self, tmp_path: Path) -> None:
        with pytest.raises(SetupError, match="--log-level"):
            serve(tmp_path, log_level="loud")
        with pytest.raises(SetupError, match="max_batch"):
            Settings(max_batch=0)
        with pytest.raises(SetupError, match="API key"):
            read_api_key(tmp_path / "none")

    def test_command_imports_nothing_heavy(
        self, python: Callable[..., subprocess.CompletedProcess[str]]
    ) -> None:
        python(
            "import sys, towermill.pipelines.server.command\n"
            "assert not {'fastapi', 'uvicorn', 'prometheus_client'} & set(sys.modules)"
        )
