"""No command runs code that a recipe, a run or a bundle has or names, unless it is trusted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from towermill.errors import RecipeError
from towermill.pipelines.bundle.manifest import load_manifest, save_manifest
from towermill.registry import distrusting, reference, trusts

SOURCE = {"kind": "synthetic", "users": 60, "items": 20, "interactions": 500}


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], bool]:
    """Tell whether the module `evil`, which can be imported, was."""
    mark = tmp_path / "ran"
    text = f"open({str(mark)!r}, 'w').close()\ndef build(*a, **b): ...\nclass Kind: ...\n"
    (tmp_path / "evil.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    return mark.exists


@pytest.fixture
def recipe(tmp_path: Path) -> Callable[..., Path]:
    def write(**sections: Any) -> Path:
        path = tmp_path / "evil.yaml"
        path.write_text(yaml.safe_dump({"source": SOURCE, **sections}))
        return path

    return write


@pytest.mark.parametrize(
    "sections",
    [
        {"source": {"kind": "evil:Kind"}},
        {"model": {"kind": "evil:Kind"}},
        {"model": {"kind": "custom", "build": "evil:build"}},
        {"model": {"kind": "custom", "build": "subprocess:run", "options": {"args": "id"}}},
        {"model": {"item_encoder": "evil:Kind"}},
        {"model": {"loss": "evil:Kind"}},
        {"features": {"graph": "evil:build"}},
        {"features": {"user": {"age": "evil:Kind"}}},
        {"evaluate": {"metrics": ["evil:Kind"]}},
    ],
)
@pytest.mark.parametrize("command", ["run", "plan", "tune", "simulate"])
def test_recipe(cli: Any, ran: Any, recipe: Any, command: str, sections: dict[str, Any]) -> None:
    said = cli(command, recipe(**sections))
    assert said.code == 2
    assert "names code that would be imported and run" in said.err
    assert "towermill --trust run" in said.err
    assert not ran()


def test_what_is_trusted_runs(cli: Any, ran: Any, recipe: Any) -> None:
    said = cli("--trust", "plan", recipe(model={"kind": "evil:Kind"}))
    assert "should be a class that extends" in said.err
    assert ran()
    assert trusts()


def test_bundle(cli: Any, ran: Any, trained: Any, tmp_path: Path) -> None:
    """A feature kind that its manifest names."""
    bundle = tmp_path / "bundle"
    shutil.copytree(trained.bundle, bundle)
    manifest = load_manifest(bundle)
    features = {
        n: replace(f, raw=replace(f.raw, kind="evil:Kind"))
        for n, f in manifest.query_features.items()
    }
    save_manifest(bundle, replace(manifest, query_features=features))
    assert cli("recommend", bundle, "--user", "1").code == 0  # needs no raw features
    said = cli("verify", bundle)
    assert said.code == 1
    assert "names code that would be imported" in said.out + said.err
    assert not ran()


def test_run_folder(cli: Any, ran: Any, trained: Any, recipe: Any, tmp_path: Path) -> None:
    """A model that its recipe names, and pickles that its stages left."""
    run = tmp_path / "run"
    shutil.copytree(trained.latest, run)
    evil = b"cposix\nsystem\n(S'touch " + str(tmp_path / "ran").encode() + b"'\ntR."
    pickles = list(run.rglob("*.pkl"))
    assert pickles
    for path in pickles:
        path.write_bytes(evil + b" " * (path.stat().st_size - len(evil)))
    content = {**trained.recipe.model_dump(mode="json"), "name": "next"}
    content["source"] |= {"seed": 7}
    cli(
        "run", recipe(**content), "--continue-from", run, "--to", "process", "--out", tmp_path / "r"
    )
    items = tmp_path / "items.parquet"
    shutil.copy(trained.bundle / "item_features.parquet", items)
    cli("embed-items", run / "bundle", items, "--out", tmp_path / "out.parquet")
    manifest = run / "train" / "manifest.json"
    told = json.loads(manifest.read_text())
    told["ingredients"]["settings"]["model"] = {"kind": "evil:Kind"}
    manifest.write_text(json.dumps(told))
    cli("predict", run, "--out", tmp_path)
    assert not ran()


def test_own_names_and_library() -> None:
    name = "towermill.models.architectures.funk_svd_online:OnlineFactors"
    with distrusting():
        assert reference(name).name == "OnlineFactors"
        with pytest.raises(RecipeError, match="--trust"):
            reference("os:system")
    assert reference("os:system").module == "os"
