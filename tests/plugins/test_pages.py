"""The pages on extending Towermill show the very code and recipes of shopkit."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from installing import SHOPKIT

from towermill.pipelines import validate_recipe

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "extending").glob("*.md"))
#: Registries of what Towermill consists of, not of what is added to it.
INTERNAL = {"towermill.protocols", "towermill.event_checks", "towermill.events"}


def blocks(language: str) -> list[Any]:
    """Return the blocks of a language, each with its page."""
    found = []
    for page in PAGES:
        texts = re.findall(
            rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL
        )
        found += [pytest.param(text, id=f"{page.stem}{n}") for n, text in enumerate(texts)]
    return found


def groups() -> Iterator[str]:
    """Yield the groups of entry points that the sources of Towermill name."""
    for folder in ("towermill", "workflows", "models", "pipelines"):
        for file in (ROOT / folder).rglob("*.py"):
            if "Registry" in file.read_text():
                for node in ast.walk(ast.parse(file.read_text())):
                    match node:
                        case ast.Call(
                            ast.Name("Registry") | ast.Subscript(ast.Name("Registry")),
                            [_, _, ast.Constant(str(group)), *_],
                        ):
                            yield group


@pytest.mark.parametrize("text", blocks("python"))
def test_code_is_shopkits(text: str) -> None:
    files = SHOPKIT.glob("shopkit/*.py")
    assert any(text in file.read_text() for file in files), text


@pytest.mark.parametrize("text", blocks("toml"))
def test_entry_points_are_shopkits(text: str) -> None:
    project = (SHOPKIT / "pyproject.toml").read_text()
    assert [part for part in text.split("\n\n") if part not in project] == []


@pytest.mark.parametrize("text", blocks("yaml"))
def test_recipes_are_valid(text: str, content: Callable[..., dict[str, Any]]) -> None:
    title, _, rest = text.partition("\n")
    if title.startswith("# "):
        assert rest == (SHOPKIT / "recipes" / title.removeprefix("# ")).read_text()
    sections = yaml.safe_load(text)
    sections.pop("source", None)  # in a folder of this test's
    assert validate_recipe(content("gated", **sections))


def test_index_has_every_page_and_group() -> None:
    index = (ROOT / "docs" / "extending" / "README.md").read_text()
    assert [page.name for page in PAGES if f"({page.name}" not in index] == ["README.md"]
    assert set(re.findall(r"`(towermill\.\w+)`", index)) == set(groups()) - INTERNAL


def test_index_names_folders_that_are_there() -> None:
    index = (ROOT / "docs" / "extending" / "README.md").read_text()
    rows = [line.split("|")[-2] for line in index.splitlines() if line.startswith("| [")]
    for row in rows:
        folder, *beside = re.findall(r"`([\w/]+)/`", row) or ["."]
        assert (ROOT / folder).is_dir(), folder
        assert all((ROOT / folder).with_name(name).is_dir() for name in beside), row
