"""The JSON Schema of a recipe."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from towermill.errors import RecipeError
from towermill.models.configs import MODELS
from towermill.pipelines.recipe.recipe import Recipe
from towermill.registry import Registry
from towermill.section import PARTS, PartSection, Section
from towermill.workflows.sources import SOURCES

_DEFS = "$defs"


def recipe_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a recipe.

    Sections whose keys depend on their `kind`, such as `source` and `model`, have those of each
    kind that is installed; of a kind named as ``module:Name``, any keys are allowed.

    Examples
    --------
    >>> schema = recipe_schema()
    >>> schema["required"], schema["$defs"]["source.movielens"]["properties"]["kind"]["const"]
    (['source'], 'movielens')
    """
    found: dict[str, Any] = {}
    whole = _collected(Recipe.model_json_schema(), found)
    # The name of a recipe is that of its file.
    whole["required"] = [key for key in whole["required"] if key != "name"]
    for part in (PartSection(SOURCES), PartSection(MODELS, "two_tower")):
        found[part.name] = _union(part, found)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return head | whole | {_DEFS: dict(sorted(found.items()))}


def _union(part: PartSection, found: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a section whose keys depend on its kind."""
    rules, names = [], []
    for kind, section in _sections(part.registry):
        names.append(kind)
        keys = _collected(section.model_json_schema(), found)
        keys["properties"]["kind"] = {"const": kind}
        found[f"{part.name}.{kind}"] = keys
        given: dict[str, Any] = {"properties": {"kind": {"const": kind}}}
        if kind != part.default:
            given["required"] = ["kind"]
        rules.append({"if": given, "then": {"$ref": f"#/{_DEFS}/{part.name}.{kind}"}})
    kinds = [{"enum": names}, {"type": "string", "pattern": ":"}]
    kind_schema = {"anyOf": kinds} | ({"default": part.default} if part.default else {})
    return {
        "type": "object",
        "properties": {"kind": kind_schema},
        "required": [] if part.default else ["kind"],
        "allOf": rules,
    }


def _sections(registry: Registry[Any]) -> Iterator[tuple[str, type[Section]]]:
    """Yield the parts that can be imported."""
    for kind in registry.names():
        with contextlib.suppress(RecipeError):
            yield kind, registry.get(kind)


def _collected(schema: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """Return a schema whose definitions are in `found`, and whose parts refer to theirs."""
    for name, definition in schema.pop(_DEFS, {}).items():
        found.setdefault(name, _with_parts(definition))
    made: dict[str, Any] = _with_parts(schema)
    return made


def _with_parts(value: Any) -> Any:
    if isinstance(value, dict):
        if PARTS in value:
            return {"$ref": f"#/{_DEFS}/{value[PARTS]}"}
        return {key: _with_parts(inner) for key, inner in value.items()}
    return [_with_parts(inner) for inner in value] if isinstance(value, list) else value
