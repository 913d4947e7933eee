"""The wheel by plain pip: what it brings is enough to read a bundle, recommend and serve."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from towermill.pipelines import run, validate_recipe

ROOT = Path(__file__).parents[2]


def call(*words: Any, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in words], **{"capture_output": True, "text": True, **options}
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a wheel of this checkout, built in a copy."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in call("git", "ls-files", cwd=ROOT, check=True).stdout.splitlines():
        if (ROOT / name).is_file() and not name.startswith(("tests/", "docs/", "benchmarks/")):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, source / name)
    done = call(sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", "-w", out, source)
    if done.returncode and "No matching distribution" in done.stderr:
        pytest.skip("pip cannot reach the packages that build a wheel")
    assert done.returncode == 0, done.stderr
    return next(out.glob("towermill-*.whl"))


@pytest.fixture(scope="module")
def plain(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the ``bin`` of an environment in which pip has installed the wheel, and no more."""
    folder = tmp_path_factory.mktemp("plain")
    venv.create(folder, with_pip=True)
    done = call(folder / "bin" / "pip", "install", "-q", wheel)
    if done.returncode and "No matching distribution" in done.stderr:
        pytest.skip("pip cannot reach the packages that the wheel needs")
    assert done.returncode == 0, done.stderr
    return folder / "bin"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the bundle of a small EASE."""
    recipe = validate_recipe(
        {
            "name": "small",
            "source": {"kind": "synthetic", "users": 120, "items": 40, "interactions": 2000},
            "model": {"kind": "ease", "dim": 16},
        }
    )
    made = run(recipe, tmp_path_factory.mktemp("runs")).bundle
    assert made is not None
    return made


def test_locks_come_along(wheel: Path) -> None:
    names = {
        Path(name).name for name in zipfile.ZipFile(wheel).namelist() if "requirements" in name
    }
    assert {"cpu.txt", "gpu.txt", "demo.txt", "tune.txt"} <= names
    assert not {"dev.txt", "mlflow.txt"} & names


def test_nothing_of_the_training_stack(plain: Path) -> None:
    listed = json.loads(call(plain / "pip", "list", "--format", "json").stdout)
    names = {one["name"].lower() for one in listed}
    assert "onnxruntime" in names
    assert not {n for n in names if n.startswith(("merlin", "nvtabular", "tensorflow", "dask"))}
    assert call(plain / "pip", "check").returncode == 0


class TestCommands:
    def test_recommend_verify_and_similar(self, plain: Path, bundle: Path, tmp_path: Path) -> None:
        told = call(plain / "towermill", "verify", bundle, "--json", cwd=tmp_path)
        assert told.returncode == 0, told.stderr
        found = {}
        for environment in (plain, Path(sys.executable).parent):
            command = environment / "towermill"
            done = call(command, "recommend", bundle, "--user", "1", "--json", cwd=tmp_path)
            found[environment] = json.loads(done.stdout)
        assert len({json.dumps(one) for one in found.values()}) == 1
        first = found[plain][0]["item_id"]
        assert call(plain / "towermill", "similar", bundle, first, cwd=tmp_path).returncode == 0

    def test_a_run_says_what_to_install(self, plain: Path, tmp_path: Path) -> None:
        done = call(plain / "towermill", "run", "synthetic-retail", cwd=tmp_path)
        assert done.returncode == 2
        assert done.stderr.startswith("towermill: This needs the package nvtabular")
        assert "towermill install cpu" in done.stderr
        assert list(tmp_path.rglob("*.parquet")) == []

    def test_doctor_finds_a_place_to_serve_from(self, plain: Path, tmp_path: Path) -> None:
        done = call(plain / "towermill", "doctor", "--json", cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
        assert checks["nvtabular"]["advice"] == "to train: towermill install cpu"
        assert checks["onnxruntime"]["ok"]

    def test_install_shows_its_command(self, plain: Path, tmp_path: Path) -> None:
        done = call(plain / "towermill", "install", "cpu", "--dry-run", cwd=tmp_path)
        lock = done.stdout.split()[-1]
        assert Path(lock).read_text() == (ROOT / "requirements" / "cpu.txt").read_text()


@pytest.fixture
def address(plain: Path, bundle: Path) -> Iterator[str]:
    """Return where the plain environment serves the bundle."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [plain / "towermill", "serve", bundle, "--port", str(port)],
        stderr=subprocess.DEVNULL,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)


def test_serves(address: str) -> None:
    for _ in range(120):
        try:
            with urllib.request.urlopen(f"{address}/healthz", timeout=5) as answer:
                assert answer.status == 200
            break
        except OSError:
            time.sleep(0.5)
    body = json.dumps({"user_id": 1, "k": 3}).encode()
    request = urllib.request.Request(
        f"{address}/recommend", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert len(json.load(answer)["items"]) == 3
