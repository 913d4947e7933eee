"""Read recipes from YAML and apply `--set`."""

from __future__ import annotations

from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from towermill.errors import RecipeError, did_you_mean
from towermill.pipelines.recipe.errors import explain
from towermill.pipelines.recipe.recipe import Recipe

_SEPARATORS = (",", ";", "|")


def shipped_recipes() -> dict[str, str]:
    """Return the name and description of each recipe that ships."""
    files = _shipped_files()
    return {n: yaml.safe_load(files[n].read_text()).get("description", "") for n in sorted(files)}


def shipped_text(name: str) -> str:
    """Return the YAML of a recipe that ships, with its comments."""
    return _shipped_files()[name].read_text()


def _shipped_files() -> dict[str, Traversable]:
    folders = [resources.files("towermill.recipes")]
    folders += [entry for entry in folders[0].iterdir() if entry.is_dir()]
    return {
        file.name.removesuffix(".yaml"): file
        for folder in folders
        for file in folder.iterdir()
        if file.name.endswith(".yaml")
    }


def load_recipe(name: str, changes: list[str] | None = None) -> Recipe:
    """Read a recipe by the name of one that ships or by the path of a YAML file.

    Parameters
    ----------
    name
        ``demo``, or ``my/recipe.yaml``.
    changes
        ``section.key=value`` each; the value is read as YAML.

    Raises
    ------
    RecipeError
        There is no such recipe, it is not YAML, or a key or value is not allowed.
    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        if not path.is_file():
            raise RecipeError(f"No recipe at {path}. Expected a YAML file.")
        text, stem = _read(path), path.stem
    else:
        shipped = shipped_recipes()
        if name not in shipped:
            raise RecipeError(
                f"No recipe {name!r}.{did_you_mean(name, shipped)} These ship: "
                f"{', '.join(shipped)}. Or give the path of a YAML file."
            )
        text, stem = _shipped_files()[name].read_text(), name
    try:
        content = yaml.load(text, _Loader)  # nosec B506
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise RecipeError(f"{name} is not valid YAML: {_reason(error)}") from error
    if not isinstance(content, dict):
        raise RecipeError(f"{name} should be a YAML mapping with at least `source:`.")
    content.setdefault("name", stem)
    for change in changes or []:
        _set(content, change)
    return validate_recipe(content, name)


def _reason(error: Exception) -> str:
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)


class _Loader(yaml.SafeLoader):
    """YAML's plain types, and no key twice (of which PyYAML would keep the last)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else ""
            if name in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"duplicate key {name!r}", key.start_mark
                )
            seen |= {name} if name and key.tag != "tag:yaml.org,2002:merge" else set()
        return super().construct_mapping(node, deep)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"Cannot read {path} as the text of a recipe: {error}") from error


def validate_recipe(content: dict[str, Any], origin: str = "recipe") -> Recipe:
    """Return the checked recipe.

    Raises
    ------
    RecipeError
        Names every key that is wrong, what was expected, and the nearest right one.
    """
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        problems = error.errors()
        # For a list with a wrong value, pydantic also reports that it is too short without it; for
        # a name or "auto", beside what is wrong with the name, that it is not "auto".
        wrong = {("too_short", p["loc"][:-1]) for p in problems}
        named = {p["loc"][:-1] for p in problems if p["type"] == "value_error"}
        beside = {p["loc"] for p in problems if p["loc"][:-1] in named and _is_fixed_word(p)}
        kept = [
            p for p in problems if (p["type"], p["loc"]) not in wrong and p["loc"] not in beside
        ]
        lines = list(dict.fromkeys(explain(problem, content) for problem in kept))
        raise RecipeError(f"{origin} is not a valid recipe:\n  " + "\n  ".join(lines)) from None


def _is_fixed_word(problem: Any) -> bool:
    """Return whether an error is of a fixed word among what a key may be."""
    return any(str(part).startswith("literal[") for part in problem["loc"][-1:])


def _set(content: dict[str, Any], change: str) -> None:
    key, separator, value = change.partition("=")
    parts = key.split(".")
    if not separator or not all(parts):
        raise RecipeError(f"--set should read section.key=value. Received: {change!r}")
    target: Any = content
    for part in parts[:-1]:
        if not isinstance(target, dict):
            break
        if target.get(part) is None:
            target[part] = {}
        target = target[part]
    if not isinstance(target, dict):
        raise RecipeError(f"--set {change}: {'.'.join(parts[:-1])} is not a section.")
    try:
        # Separators need no quotes, whatever they mean in YAML.
        is_sign = value in _SEPARATORS
        target[parts[-1]] = value if is_sign else yaml.load(value, _Loader)  # nosec B506
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise RecipeError(
            f"--set {change}: the value is not valid YAML: {_reason(error)}"
        ) from error
