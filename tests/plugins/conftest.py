"""A copy of shopkit that this process finds as an installed package, and the shop's data."""

from __future__ import annotations

import shutil
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))

from installing import SHOPKIT, declare, forget
from shop_world import write_shop


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the source `baskets` reads."""
    folder = tmp_path_factory.mktemp("data") / "shop"
    write_shop(folder)
    return folder


@pytest.fixture(scope="session")
def shopkit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a package shopkit that is installed in this process, and may be edited."""
    site = tmp_path_factory.mktemp("site")
    shutil.copytree(SHOPKIT / "shopkit", site / "shopkit")
    project = tomllib.loads((SHOPKIT / "pyproject.toml").read_text())["project"]
    declare(site, "shopkit", project["entry-points"])
    sys.path.insert(0, str(site))
    forget()
    yield site / "shopkit"
    sys.path.remove(str(site))
    for name in [name for name in sys.modules if name.partition(".")[0] == "shopkit"]:
        del sys.modules[name]
    forget()


@pytest.fixture
def install(
    shopkit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., None]]:
    """Install a module with this text, and entry points, beside shopkit."""

    def install(name: str, text: str = "", **groups: Mapping[str, str]) -> None:
        (tmp_path / f"{name}.py").write_text(text)
        points = {f"towermill.{group}": points for group, points in groups.items()}
        declare(tmp_path, name, points)
        forget()

    monkeypatch.syspath_prepend(tmp_path)
    yield install
    monkeypatch.undo()
    for file in tmp_path.glob("*.py"):
        sys.modules.pop(file.stem, None)
    forget()


@pytest.fixture
def content(shopkit: Path, shop: Path) -> Callable[..., dict[str, Any]]:
    """Return the content of one of shopkit's recipes, some sections of it changed."""

    def content(recipe: str = "gated", **sections: Any) -> dict[str, Any]:
        found = yaml.safe_load((SHOPKIT / "recipes" / f"{recipe}.yaml").read_text())
        found["source"]["path"] = str(shop)
        return {"name": recipe, **found, **sections}

    return content
