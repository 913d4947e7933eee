"""Fixtures for all rooms."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import pytest

import towermill.runtime.gpu

# Each process that a test starts would compile all of TensorFlow again: twelve seconds each.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

#: A test is slow if it, a fixture of it or a helper in `tests/` uses one of these: they start a
#: process, a cluster or a browser, fit features, train a model or convert one; or they ask for a
#: fixture by a name that is known at run time only.
COSTLY = frozenset(
    {
        *("subprocess", "multiprocessing", "playwright.sync_api", "schemathesis"),
        *("distributed.client.Client", "distributed.deploy.local.LocalCluster"),
        *("towermill.runtime.cluster.cluster_client", "towermill.models.training.train"),
        *("towermill.models.training.train.train_model", "towermill.models.training.fit"),
        *("towermill.models.training.fit.fit", "towermill.pipelines.running.run.run"),
        *("towermill.pipelines.export.export.export_bundle", "towermill.pipelines.export.onnx"),
        *("towermill.pipelines.tuning.run.tune", "towermill.workflows.process.process.process"),
        *("nvtabular.workflow.workflow.Workflow", "getfixturevalue"),
    }
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option of ``make test-faults``."""
    parser.addoption("--all-faults", action="store_true", help="disturb commands at every point")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is slow, for ``-m "not slow"``, and begin with the files that take longest.

    These have tests whose own marker says that they take over ten seconds. Were they last, one of
    two processes would wait for the other.
    """
    long = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in long)
    seen: dict[Any, bool] = {}
    for item in items:
        if isinstance(item, pytest.Function) and _is_costly_test(item, seen):
            item.add_marker("slow")


def _is_costly_test(item: pytest.Function, seen: dict[Any, bool]) -> bool:
    if getattr(item.function, "is_hypothesis_test", False):  # hundreds of examples
        return True
    fixtures = [one for found in item._fixtureinfo.name2fixturedefs.values() for one in found]
    functions = [item.function, *(fixture.func for fixture in fixtures)]
    return any(_is_costly(function, item.cls, seen) for function in functions)


def _is_costly(function: Any, owner: type | None, seen: dict[Any, bool]) -> bool:
    """Return whether a function or class of the tests uses something of `COSTLY`.

    The names that it uses are looked up in its module, in the class `owner` of the test, and, for
    imports within functions, in the modules that are loaded.
    """
    function = getattr(function, "__func__", function)
    if (function, owner) not in seen:
        seen[function, owner] = False  # for functions that call themselves
        seen[function, owner] = any(
            _name(found) in COSTLY or (_is_ours(found) and _is_costly(found, owner, seen))
            for found in _used(function, owner)
        )
    return seen[function, owner]


def _used(function: FunctionType | type, owner: type | None) -> Iterator[Any]:
    if isinstance(function, type):
        yield from (value for value in vars(function).values() if isinstance(value, FunctionType))
        return
    names = _names(function.__code__)
    yield from names & COSTLY
    for name in names:
        for found in (function.__globals__.get(name), getattr(owner, name, None)):
            yield getattr(found, "__func__", found)
            if isinstance(found, ModuleType):
                yield from _of(found, names)
        if module := sys.modules.get(name):
            yield module
            yield from _of(module, names)


def _of(module: ModuleType, names: set[str]) -> Iterator[Any]:
    return (vars(module)[name] for name in names & vars(module).keys())


def _name(found: Any) -> str:
    if isinstance(found, str):
        return found
    if isinstance(found, FunctionType | type):
        return f"{found.__module__}.{found.__qualname__}"
    return found.__name__ if isinstance(found, ModuleType) else ""


def _is_ours(found: Any) -> bool:
    """Return whether it is a function or class of the tests."""
    if isinstance(found, type):
        return any(_is_ours(value) for value in vars(found).values() if not isinstance(value, type))
    if not isinstance(found, FunctionType):
        return False
    return Path(found.__code__.co_filename).is_relative_to(Path(__file__).parent)


def _names(code: CodeType) -> set[str]:
    inner = [const for const in code.co_consts if isinstance(const, CodeType)]
    return set(code.co_names).union(*(_names(one) for one in inner))


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
