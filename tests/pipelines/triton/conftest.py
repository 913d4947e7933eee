"""Bundles whose answers are a formula, and model repositories of them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from towermill.pipelines.triton.repository import write_model_repository

sys.path[:0] = [str(Path(__file__).parent)]

from stub import Repository  # noqa: E402
from triton_world import World  # noqa: E402


@pytest.fixture(scope="session", params=[False, True], ids=["scalars", "lists"])
def world(request: pytest.FixtureRequest) -> World:
    """A tower that Triton can batch, and one that it cannot."""
    return World(lists=request.param)


@pytest.fixture(scope="session")
def bundle(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its bundle."""
    return world.write(tmp_path_factory.mktemp("bundle") / "bundle")


@pytest.fixture(scope="session")
def repository(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its model repository."""
    return write_model_repository(
        bundle, tmp_path_factory.mktemp("triton") / "models", k=5, max_k=40, max_batch_size=32
    )


@pytest.fixture(scope="session")
def server(repository: Path) -> Repository:
    """What runs the repository."""
    return Repository(repository)
