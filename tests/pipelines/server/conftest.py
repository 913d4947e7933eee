"""Live servers of a small bundle, in threads of this process."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path[:0] = [str(Path(__file__).parent / "world")]

from circle import write_bundle  # noqa: E402
from live import Live, start  # noqa: E402


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """One server for the tests of a file that change nothing of it."""
    found = start(write_bundle(tmp_path_factory.mktemp("served") / "bundle", "one"))
    yield found
    found.stop()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Live]]:
    """Start servers with settings of their own."""
    begun: list[Live] = []

    def begin(**settings: Any) -> Live:
        path = tmp_path / f"bundle-{len(begun)}"
        begun.append(start(write_bundle(path, "one"), **settings))
        return begun[-1]

    yield begin
    for one in begun:
        one.bundle.may_answer.set()
        one.stop()
