"""Roles guessed in files of public layouts, and the recipes drafted from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from layouts import Layout
from ratings import LAYOUTS as RATINGS
from shops import LAYOUTS as SHOPS

from towermill.pipelines.recipe.drafting.draft import draft_recipe
from towermill.pipelines.recipe.load import load_recipe

LAYOUTS = [*RATINGS, *SHOPS]
#: Headers of none are given these names.
_ROLES = ("user_id", "item_id", "timestamp", "rating", "split", "signals")


def drafted(layout: Layout, folder: Path) -> dict[str, Any]:
    """Write the files, draft a recipe, and load it."""
    draft = draft_recipe(layout.write(folder))
    recipe = folder / "recipe.yaml"
    recipe.write_text(draft.text)
    load_recipe(str(recipe))
    content: dict[str, Any] = yaml.safe_load(draft.text)
    return content


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_roles(layout: Layout, tmp_path: Path) -> None:
    content = drafted(layout, tmp_path)
    source = content["source"]
    assert {key: source.get(key) for key in layout.source} == layout.source
    assert {key: content.get(key) for key in layout.recipe} == layout.recipe
    if not layout.roles:
        return
    log = source["interactions"]
    found = {key: log[key] for key in _ROLES if key in log}
    assert found == {key: value for key, value in layout.roles.items() if key != "reading"}
    wanted = layout.roles.get("reading", {})
    assert wanted.items() <= log.get("reading", {}).items()
    for name, key, side in (("items", "item_id", layout.items), ("users", "user_id", layout.users)):
        if side is None:
            continue
        assert source[name][key] == side[0]
        features = source[name]["features"]
        kinds = {n: f if type(f) is str else f["kind"] for n, f in features.items()}
        assert side[1].items() <= kinds.items()


def test_there_are_enough() -> None:
    assert len(LAYOUTS) >= 20
