"""The option that disturbs all points, and folders that commands run in."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from disturbing import Done, changes, run
from scenarios import Scenario, copy, digests, write_files, write_items


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Scenario], Path]:
    """Return a folder in which what a scenario needs has been run."""
    made: dict[tuple[str, ...], Path] = {}

    def prepare(scenario: Scenario) -> Path:
        if scenario.before not in made:
            folder = made[scenario.before] = tmp_path_factory.mktemp("prepared")
            write_files(folder)
            for command in scenario.before:
                done = run(folder, command)
                assert done.code == 0, done.said
            write_items(folder)
        return made[scenario.before]

    return prepare


class Undisturbed:
    """What a command gives when nothing goes wrong."""

    def __init__(self, folder: Path, scenario: Scenario) -> None:
        self.changes = changes(folder, scenario.command)
        self.digests = digests(folder, scenario.results)
        assert self.digests


@pytest.fixture(scope="session")
def undisturbed(
    prepared: Callable[[Scenario], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Scenario], Undisturbed]:
    """Return what a scenario gives undisturbed, run once."""
    made: dict[str, Undisturbed] = {}

    def once(scenario: Scenario) -> Undisturbed:
        if scenario.name not in made:
            folder = tmp_path_factory.mktemp("undisturbed")
            copy(prepared(scenario), folder)
            made[scenario.name] = Undisturbed(folder, scenario)
        return made[scenario.name]

    return once


@pytest.fixture
def disturbed(
    prepared: Callable[[Scenario], Path], tmp_path: Path
) -> Callable[[Scenario, str], tuple[Path, Done]]:
    """Run a scenario's command with a fault; return its folder and what became of it."""

    def call(scenario: Scenario, fault: str) -> tuple[Path, Done]:
        copy(prepared(scenario), tmp_path)
        return tmp_path, run(tmp_path, scenario.command, fault)

    return call


def pytest_generate_tests(metafunc: Any) -> None:
    """Give every scenario its points: a few, or with ``--all-faults`` all of them."""
    if "point" not in metafunc.fixturenames:
        return
    from scenarios import POINTS, SAMPLE

    everything = metafunc.config.getoption("--all-faults")
    chosen = POINTS if everything else SAMPLE
    metafunc.parametrize(
        ("scenario", "fault", "point"),
        chosen,
        ids=[f"{scenario.name}-{fault}-{point:.3f}" for scenario, fault, point in chosen],
    )
