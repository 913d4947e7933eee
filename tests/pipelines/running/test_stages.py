"""What decides a stage's key."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

from towermill.pipelines.stages.stages import STAGES

#: What a bundle does not depend on: options, whose values are in the key, and the key itself.
ASIDE = {"recipe", "keys", "gates_config", "runtime_config", "cosines", "interleave"}


def imported(module: str) -> set[str]:
    """Return the modules of the pipelines that a module imports, at any place in it."""
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    tree = ast.parse(Path(spec.origin).read_text())
    found = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module}
    return {name for name in found if name.startswith("towermill.pipelines.")}


def test_export_is_keyed_by_all_that_writes_a_bundle() -> None:
    (stage,) = (stage for stage in STAGES if stage.name == "export")
    reached, ahead = set(), ["towermill.pipelines.export.export"]
    while ahead:
        module = ahead.pop()
        if module in reached or module.split(".")[2] in ASIDE:
            continue
        reached.add(module)
        ahead += imported(module)
    assert "towermill.pipelines.search.exact" in reached
    missing = {name for name in reached if not name.startswith(stage.code)}
    assert not missing
