"""docs/guides/serve.md: its requests are ones that the server takes, its names ones that it has."""

from __future__ import annotations

import inspect
import re
import shlex
from pathlib import Path

import pytest
from live import Live

from towermill.cli.bundle import serve
from towermill.pipelines.server.settings import Settings

TEXT = (Path(__file__).parents[3] / "docs" / "guides" / "serve.md").read_text()
REQUESTS = re.findall(r"^curl .+$", TEXT, re.MULTILINE)


class TestServePage:
    @pytest.mark.parametrize("request_line", REQUESTS)
    def test_requests(self, live: Live, request_line: str) -> None:
        words = shlex.split(request_line)
        [address] = [word for word in words if word.startswith("localhost:8000")]
        url = address.removeprefix("localhost:8000")
        if "-d" in words:
            content = words[words.index("-d") + 1]
            headers = {"Content-Type": "application/json"}
            answer = live.client.post(url, content=content, headers=headers)
        else:
            answer = live.client.get(url)
        # This bundle has other items than the demo's.
        unknown = answer.status_code == 404 and "There is no" in answer.json()["detail"]
        assert answer.status_code == 200 or unknown

    def test_every_route_but_the_lists_is_told(self, live: Live) -> None:
        for path in live.get("/openapi.json").json()["paths"]:
            assert path.partition("{")[0].rstrip("/") in TEXT

    def test_options_and_their_defaults(self) -> None:
        told = dict(re.findall(r"^\| `--([\w-]+)` \| ([\d.]+) \|", TEXT, re.MULTILINE))
        known = inspect.signature(serve).parameters
        assert len(told) == 10
        for name, default in told.items():
            assert known[name.replace("-", "_")].default == float(default)
        asked = set(known) - {"bundle", "host", "port", "api_key_file", "watch", "log_level"}
        assert {name.replace("-", "_") for name in told} == asked
        for name in asked - {"shutdown_timeout"}:
            assert known[name].default == getattr(Settings, name)

    def test_metrics(self, live: Live) -> None:
        live.post("/recommend", user_id=1)
        counted = live.get("/metrics").text
        named = re.findall(r"`(towermill_\w+)`", TEXT)
        assert len(named) == 7
        assert [name for name in named if name not in counted] == []
        ours = set(re.findall(r"^# TYPE (towermill_\w+) ", counted, re.MULTILINE))
        assert {name for name in ours if not name.endswith("_created")} == set(named)
