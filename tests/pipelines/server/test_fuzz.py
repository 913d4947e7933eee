"""Requests made from the server's own OpenAPI: no 500, no hang, nothing undeclared, no growth."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import psutil
import pytest
import requests
import schemathesis
from circle import write_bundle
from hypothesis import HealthCheck, Phase, given, settings
from process import Process

#: Requests a route and mode; both modes of all routes take half a minute.
EXAMPLES = 60
#: Of what was fuzzed, sent again and again to see memory.
ROUNDS = 12
MODES = [schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    path = write_bundle(tmp_path_factory.mktemp("fuzzed") / "bundle", "one")
    found = Process(path, "max_k=20", "max_ids=5", "max_queries=4")
    yield found
    found.process.kill()
    found.process.wait()


@pytest.fixture(scope="module")
def sent() -> list[requests.PreparedRequest]:
    """What the tests of conformance have sent, for those of memory."""
    return []


def fuzz(
    server: Process, sent: list[requests.PreparedRequest], mode: schemathesis.GenerationMode
) -> None:
    """Ask every route in one mode, hold answers against the document, keep what was sent."""
    document = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    routes = [found.ok() for found in document.get_all_operations()]
    assert len(routes) == 14
    for route in routes:
        if mode is schemathesis.GenerationMode.NEGATIVE and not (route.body or route.query):
            continue  # any text in a path is an id

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=route.as_strategy(generation_mode=mode))
        def conforms(case: schemathesis.Case) -> None:
            answer = case.call(timeout=10)
            sent.append(answer.request)
            case.validate_response(answer)

        conforms()


class TestConforms:
    @pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
    def test_every_route(
        self,
        server: Process,
        sent: list[requests.PreparedRequest],
        mode: schemathesis.GenerationMode,
    ) -> None:
        fuzz(server, sent, mode)


class TestMemory:
    def test_does_not_grow(self, server: Process, sent: list[requests.PreparedRequest]) -> None:
        if not sent:  # asked for alone
            fuzz(server, sent, schemathesis.GenerationMode.POSITIVE)
        assert len(sent) > 300
        process = psutil.Process(server.process.pid)
        sizes = []
        with httpx.Client(timeout=10) as client:
            for _ in range(ROUNDS):
                for request in sent[::3]:
                    answer = client.request(
                        request.method or "GET",
                        str(request.url),
                        headers={"Content-Type": request.headers.get("Content-Type", "")},
                        content=request.body or b"",
                    )
                    assert answer.status_code < 500
                sizes.append(process.memory_info().rss)
        # What a server keeps of its first requests (regular expressions, the allocator's arenas)
        # is there after a few rounds. From then on, 1 KB kept of each request would be over 2 MiB.
        kept = len(sent[::3]) * (ROUNDS - 4)
        assert sizes[-1] - sizes[3] < 1024 * kept
