"""Fixtures for all rooms."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import towermill.runtime.gpu

# Each process that a test starts would compile all of TensorFlow again: twelve seconds each.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def _no_gpu() -> str:
    return towermill.runtime.gpu.missing_for_gpu()


@pytest.fixture(params=["cpu", pytest.param("gpu", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> str:
    """``"cpu"``, and ``"gpu"`` where there are a GPU and cuDF."""
    if request.param == "gpu" and _no_gpu():
        pytest.skip(f"needs a CUDA device: {_no_gpu()}")
    return request.param


@pytest.fixture
def python(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run code in a fresh Python, in a folder of its own; fail with its output if it fails."""

    def run(
        code: str, *, check: bool = True, **environ: str | None
    ) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        # What importing towermill in this process has set.
        for name in ("TF_USE_LEGACY_KERAS", "DASK_DATAFRAME__CONVERT_STRING"):
            environment.pop(name, None)
        for name, value in environ.items():
            if value is None:
                environment.pop(name, None)
            else:
                environment[name] = value
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        if check:
            assert done.returncode == 0, done.stdout + done.stderr
        return done

    return run
