"""A server that answers, in a thread of this process, and its bundle to lay hands on."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from circle import CircleBundle
from fastapi import FastAPI

from towermill.pipelines.server.app import create_app
from towermill.pipelines.server.command import listen
from towermill.pipelines.server.http.connections import limited_to
from towermill.pipelines.server.metrics import Metrics
from towermill.pipelines.server.service.holder import Holder
from towermill.pipelines.server.settings import Settings


@dataclass
class Live:
    """A server that answers at `url`."""

    url: str
    path: Path
    app: FastAPI
    holder: Holder
    client: httpx.Client
    server: uvicorn.Server
    thread: threading.Thread

    @property
    def bundle(self) -> CircleBundle:
        """What is served now."""
        found = self.holder.current.bundle
        assert isinstance(found, CircleBundle)
        return found

    def get(self, path: str, **parameters: Any) -> httpx.Response:
        return self.client.get(path, params=parameters)

    def post(self, path: str, **body: Any) -> httpx.Response:
        return self.client.post(path, json=body)

    def counted(self, line: str) -> float:
        """Return a value of /metrics by its name and labels; 0 if it is not there."""
        for found in self.get("/metrics").text.splitlines():
            if found.startswith(line + " "):
                return float(found.rpartition(" ")[2])
        return 0.0

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(20)
        assert not self.thread.is_alive()


def start(path: Path, **settings: Any) -> Live:
    """Serve the bundle at a path."""
    metrics = Metrics()
    chosen = Settings(**settings)
    holder = Holder(path, CircleBundle.open, metrics)
    app = create_app(holder, chosen, metrics)
    listening = listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    http = limited_to(chosen.timeout)
    config = uvicorn.Config(
        app, log_config=None, access_log=False, http=http, timeout_graceful_shutdown=20
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    headers = {} if chosen.api_key is None else {"X-API-Key": chosen.api_key}
    client = httpx.Client(base_url=url, headers=headers, timeout=20)
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    return Live(url, path, app, holder, client, server, thread)
