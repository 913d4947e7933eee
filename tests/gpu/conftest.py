"""What a GPU gives is what the CPU gives. Run unattended on a machine with one: pytest tests/gpu

Without a GPU all of these skip. ``TOWERMILL_GPU_TESTS_ON=cpu`` compares the CPU with itself, so
that the tests' own code can be tried anywhere.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from towermill.runtime.gpu import claim, missing_for_gpu

DEVICE = os.environ.get("TOWERMILL_GPU_TESTS_ON", "gpu")
MISSING = missing_for_gpu() if DEVICE == "gpu" else ""
if DEVICE == "gpu" and not MISSING:
    claim("model")  # before anything here imports Merlin, which would take half of the GPU


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.gpu)
            if MISSING:
                item.add_marker(pytest.mark.skip(reason=f"needs a CUDA device: {MISSING}"))


@pytest.fixture(scope="session")
def other() -> str:
    """The device that is compared with the CPU."""
    return DEVICE
