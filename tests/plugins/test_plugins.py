"""Another package's parts in an environment of its own: from recipes to answers over HTTP."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from installing import SHOPKIT
from shop_world import BRANDS

ROOT = Path(__file__).parents[2]
UV = shutil.which("uv") or shutil.which("uv", path=Path(sys.prefix) / "uv" / "bin")
#: What a wheel of Towermill is built from.
SOURCES = ("towermill", "workflows", "models", "pipelines", "recipes", "requirements")
BUILD = ("pyproject.toml", "setup.py", "README.md")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(UV is None, reason="needs uv, to make an environment"),
]


@dataclass(frozen=True)
class Environment:
    """An environment with Towermill and shopkit, and a folder to run recipes in."""

    bin: Path
    folder: Path

    def run(self, program: str, *arguments: str) -> str:
        """Run one of its programs; return what it prints, and fail if it does."""
        done = subprocess.run(
            [self.bin / program, *arguments],
            cwd=self.folder,
            env=outside(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def manifest(self, recipe: str) -> dict[str, Any]:
        """Return the manifest of a recipe's bundle."""
        file = self.folder / "runs" / recipe / "latest" / "bundle" / "manifest.json"
        found: dict[str, Any] = json.loads(file.read_text())
        return found


def outside() -> dict[str, str]:
    """Return the variables of this process without what points to the checkout."""
    here = ("PYTHONPATH", "VIRTUAL_ENV", "TF_USE_LEGACY_KERAS", "DASK_DATAFRAME__CONVERT_STRING")
    return {name: value for name, value in os.environ.items() if name not in here}


def uv(*arguments: str | Path) -> None:
    done = subprocess.run([str(UV), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory, shop: Path) -> Environment:
    """The locked packages, a wheel of this checkout, and shopkit."""
    folder = tmp_path_factory.mktemp("environment")
    checkout, shopkit, python = folder / "checkout", folder / "shopkit", folder / "venv/bin/python"
    for name in SOURCES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, checkout / name, symlinks=True, ignore=ignored)
    for name in BUILD:
        shutil.copy(ROOT / name, checkout)
    shutil.copytree(SHOPKIT, shopkit)
    uv("venv", "--python", sys.executable, folder / "venv")
    install = ("pip", "install", "--no-deps", "--python", python)
    uv(*install, "--require-hashes", "-r", ROOT / "requirements" / "cpu.txt")
    uv("build", "--wheel", "--out-dir", folder / "dist", checkout)
    uv(*install, *(folder / "dist").glob("*.whl"))
    uv(*install, shopkit)
    shutil.rmtree(checkout)
    (folder / "shop").symlink_to(shop)
    shutil.move(shopkit / "recipes", folder / "recipes")
    shutil.rmtree(shopkit)
    return Environment(python.parent, folder)


@pytest.fixture(scope="module")
def gated(environment: Environment) -> Environment:
    """The same, where the recipe `gated` has been run."""
    environment.run("towermill", "run", "recipes/gated.yaml")
    return environment


@pytest.fixture(scope="module")
def server(gated: Environment) -> Iterator[str]:
    """The address at which the bundle of `gated` is served."""
    process = subprocess.Popen(
        [gated.bin / "towermill", "serve", "runs/gated/latest/bundle", "--port", "0"],
        cwd=gated.folder,
        env=outside(),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    log = iter(process.stderr.readline, "")
    try:
        found = next(filter(None, (re.search(r"http://[\d.:]+", line) for line in log)), None)
        assert found, process.wait()
        assert any("startup complete" in line for line in log)
        yield found[0]
    finally:
        process.terminate()
        process.wait(30)
        process.stderr.close()


def test_both_packages_are_installed(environment: Environment) -> None:
    code = "import shopkit, towermill; print(shopkit.__file__, towermill.__file__)"
    for file in environment.run("python", "-c", code).split():
        assert Path(file).is_relative_to(environment.folder / "venv"), file


class TestTwoTower:
    """A source, a feature kind, a tower encoder by both names, and a metric as monitor."""

    def test_trained_by_the_metric(self, gated: Environment) -> None:
        latest = gated.folder / "runs" / "gated" / "latest"
        found = json.loads((latest / "train" / "history.json").read_text())
        scores = [epoch["metrics"]["rbp@10"] for epoch in found["history"]]
        assert found["best"] == max(scores)
        metrics = json.loads((latest / "evaluate" / "metrics.json").read_text())
        popularity = metrics["baselines"]["popularity"]["rbp@10"]
        assert metrics["metrics"]["rbp@10"] > 2 * popularity

    def test_bundle(self, gated: Environment) -> None:
        manifest = gated.manifest("gated")
        raw = manifest["query_features"]["postcode"]["raw"]
        assert (raw["kind"], raw["options"]) == ("region", {"digits": 2})
        assert manifest["gates"]["query_tower_raw"]["users"] == 240
        told = json.loads(gated.run("towermill", "verify", "runs/gated/latest/bundle", "--json"))
        assert {gate["passed"] for gate in told} == {True}

    def test_nothing_runs_again(self, gated: Environment) -> None:
        plan = gated.run("towermill", "plan", "recipes/gated.yaml")
        assert len(re.findall(r" no +done", plan)) == 5, plan


class TestServed:
    def ask(self, server: str, **body: Any) -> dict[str, Any]:
        answer = httpx.post(f"{server}/recommend", json={"k": 5, **body}, timeout=30)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def test_known_user(self, server: str) -> None:
        answer = self.ask(server, user_id="c7")
        assert answer["known"]
        assert len(answer["items"]) == 5

    @pytest.mark.parametrize("region", BRANDS)
    def test_raw_postcode(self, server: str, region: str) -> None:
        one, other = (
            self.ask(server, features={"postcode": f"{region}{rest}"})["items"]
            for rest in ("000", "987")
        )
        assert one == other
        assert {item["brand"] for item in one} == {BRANDS[region]}

    def test_postcode_of_the_wrong_type(self, server: str) -> None:
        asked = {"features": {"postcode": [1, 2]}}
        answer = httpx.post(f"{server}/recommend", json=asked, timeout=30)
        assert answer.status_code == 422
        assert "postcode" in answer.text


def test_ranker_and_graph(environment: Environment) -> None:
    environment.run("towermill", "run", "recipes/cross.yaml")
    manifest = environment.manifest("cross")
    assert manifest["kind"] == "ranker"
    assert "discount" in manifest["item_features"]
    assert "shopkit" in str(manifest["recipe"]["features"]["graph"])


#: Weights & Biases without a network: what it is asked to record goes to a file.
WANDB = """
import json
from pathlib import Path


class Artifact:
    def __init__(self, name, type):
        self.told = {"name": name, "type": type}

    def add_dir(self, path):
        self.told["files"] = sorted(file.name for file in Path(path).iterdir())


class Run:
    def __init__(self, **given):
        self.file = Path(f"{given['project']}.json")
        self.told, self.url = {**given, "steps": {}}, f"wandb://{given['project']}/{given['id']}"
        known = json.loads(self.file.read_text()) if self.file.exists() else {"summary": {}}
        self.summary = known["summary"]

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.told["steps"]:
            self.file.write_text(json.dumps({**self.told, "summary": self.summary}))

    def log(self, values, step):
        self.told["steps"][step] = values

    def log_artifact(self, artifact):
        self.told["artifact"] = artifact.told


def init(**given):
    return Run(**given)
"""


def test_tracker(gated: Environment) -> None:
    (packages,) = gated.bin.parent.glob("lib/python*/site-packages")
    words = ("run", "recipes/gated.yaml", "--track", "wandb:stall")
    (packages / "wandb.py").write_text(WANDB)
    try:
        gated.run("towermill", *words)
        told = (gated.folder / "stall.json").read_text()
        gated.run("towermill", *words)
    finally:
        (packages / "wandb.py").unlink()
    assert (gated.folder / "stall.json").read_text() == told
    found = json.loads(told)
    latest = gated.folder / "runs" / "gated" / "latest"
    history = json.loads((latest / "train" / "history.json").read_text())["history"]
    losses = [values["train/loss"] for values in found["steps"].values()]
    assert losses == [epoch["loss"] for epoch in history]
    metrics = json.loads((latest / "evaluate" / "metrics.json").read_text())
    assert found["summary"]["rbp@10"] == metrics["metrics"]["rbp@10"]
    assert found["id"] == latest.resolve().name
    assert "manifest.json" in found["artifact"]["files"]


def test_loss_and_negatives(environment: Environment) -> None:
    environment.run("towermill", "run", "recipes/hinge.yaml")
    model = environment.manifest("hinge")["recipe"]["model"]
    assert (model["loss"], model["negatives"]) == ("hinge", "square_root")


def test_custom_model(environment: Environment) -> None:
    environment.run("towermill", "run", "recipes/factors.yaml")
    manifest = environment.manifest("factors")
    assert (manifest["kind"], manifest["dim"]) == ("retriever", 8)
