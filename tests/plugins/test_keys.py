"""The code of another package is part of the keys of the stages that run it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from towermill.pipelines import plan, validate_recipe
from towermill.runtime import code

ALL = ["prepare", "process", "train", "evaluate", "export"]


@pytest.fixture
def keys(
    content: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], dict[str, str]]:
    """Return the keys of a recipe's stages, shopkit's modules read anew."""
    known = code._source

    def source(name: str) -> Any:
        return (known.__wrapped__ if name.startswith("shopkit") else known)(name)

    def keys(recipe: str) -> dict[str, str]:
        code.code_of.cache_clear()
        steps = plan(validate_recipe(content(recipe)), tmp_path)
        return {step.stage.name: step.key for step in steps}

    monkeypatch.setattr(code, "_source", source)
    yield keys
    code.code_of.cache_clear()


@pytest.mark.parametrize(
    ("recipe", "module", "rerun"),
    [
        ("gated", "sources", ALL),
        ("gated", "features", ALL[1:]),  # the source proposes `region`
        ("gated", "towers", ALL[2:]),
        ("gated", "metrics", ALL[2:]),
        ("gated", "graph", []),
        ("gated", "cross", []),
        ("cross", "graph", ALL[1:]),
        ("cross", "configs", ALL[2:]),
        ("cross", "cross", ALL[2:]),  # which `configs` imports
        ("cross", "towers", []),
        ("factors", "factors", ALL[2:]),
    ],
)
def test_an_edit_reruns(
    keys: Callable[[str], dict[str, str]], shopkit: Path, recipe: str, module: str, rerun: list[str]
) -> None:
    file = shopkit / f"{module}.py"
    before, text = keys(recipe), file.read_text()
    try:
        file.write_text(text.replace('"""', '"""Another docstring. ', 1))
        assert keys(recipe) == before
        file.write_text(f"{text}\n\nEDITED = True\n")
        assert [name for name, key in keys(recipe).items() if key != before[name]] == rerun
    finally:
        file.write_text(text)
