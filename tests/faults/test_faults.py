"""Commands that are killed, or refused a change of a file, lose nothing and say what to do."""

from __future__ import annotations

import signal
from typing import Any

import pytest
import yaml
from disturbing import run
from scenarios import POINTS, Scenario, digests

from towermill.pipelines import validate_recipe

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_lost_nothing(
    undisturbed: Any, disturbed: Any, scenario: Scenario, fault: str, point: float
) -> None:
    expected = undisturbed(scenario)
    number = max(1, round(point * expected.changes))
    folder, done = disturbed(scenario, f"{fault}:{number}")
    if fault == "kill":
        assert done.code in (-signal.SIGKILL, 0), done.said
    else:
        assert done.code in (0, 2), done.said
        assert "Traceback" not in done.said
        assert done.code == 0 or "No space left on device" in done.said
    # What is believed is right, even now: only whole outputs have their final names.
    found = digests(folder, scenario.results)
    if scenario.improves:
        assert all(validate_recipe(yaml.safe_load((folder / name).read_text())) for name in found)
    else:
        assert found.items() <= expected.digests.items()
    if done.code == 0:  # it went another way
        assert found == expected.digests
        return
    again = run(folder, scenario.command)
    assert again.code == 0, again.said
    assert digests(folder, scenario.results) == expected.digests


def test_there_are_enough_points() -> None:
    assert len(POINTS) >= 300
