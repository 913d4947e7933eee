"""A recipe: read from YAML, changed by ``--set``, checked before anything runs."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from towermill.errors import RecipeError, did_you_mean
from towermill.models.config import ModelConfig, TrainConfig
from towermill.workflows.config import FeatureConfig
from towermill.workflows.filters import Filters
from towermill.workflows.sources import SOURCES
from towermill.workflows.splits import Split


class EvaluateConfig(BaseModel):
    """How the test split is ranked.

    Parameters
    ----------
    k
        Cut-offs.
    filter_seen
        Leave out what the user met in earlier splits.
    query
        ``user``: one query a user, the mean over users. ``interaction``: one query a held-out
        row, the mean over rows.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    k: tuple[PositiveInt, ...] = Field((10, 100), min_length=1)
    filter_seen: bool = True
    query: Literal["user", "interaction"] = "user"


class ExportConfig(BaseModel):
    """What the bundle holds.

    Parameters
    ----------
    index
        ``exact``: neighbours by brute force.
    tolerance
        Largest difference allowed between an embedding of the trained model and of its reloaded
        export.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    index: Literal["exact"] = "exact"
    tolerance: float = Field(1e-4, gt=0)


class RuntimeConfig(BaseModel):
    """Where the recipe runs; `seed` decides initial weights, row order and negatives."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: Literal["auto", "cpu", "gpu"] = "auto"
    cluster: str = Field("none", pattern=r"^(none|local|cuda|(tcp|tls|ucx)://.+)$")
    seed: int = Field(0, ge=0)


class Recipe(BaseModel):
    """From raw data to a bundle; all but `source` has a default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    description: str = ""
    source: Annotated[Union[tuple(SOURCES.values())], Field(discriminator="kind")]  # type: ignore[valid-type]  # noqa: UP007
    filters: Filters = Filters()
    split: Split = Split()
    features: FeatureConfig = FeatureConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    export: ExportConfig = ExportConfig()
    runtime: RuntimeConfig = RuntimeConfig()


def shipped_recipes() -> dict[str, str]:
    """Return the name and description of each recipe that ships."""
    found = {}
    for file in sorted(resources.files("towermill.recipes").iterdir(), key=str):
        if file.name.endswith(".yaml"):
            content = yaml.safe_load(file.read_text())
            found[file.name.removesuffix(".yaml")] = content.get("description", "")
    return found


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
        text, stem = path.read_text(), path.stem
    else:
        shipped = shipped_recipes()
        if name not in shipped:
            raise RecipeError(
                f"No recipe {name!r}.{did_you_mean(name, shipped)} These ship: "
                f"{', '.join(shipped)}. Or give the path of a YAML file."
            )
        text, stem = (resources.files("towermill.recipes") / f"{name}.yaml").read_text(), name
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"{name} is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise RecipeError(f"{name} should be a YAML mapping with at least `source:`.")
    content.setdefault("name", stem)
    for change in changes or []:
        _set(content, change)
    return validate_recipe(content, name)


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
        lines = [_explain(problem) for problem in error.errors()]
        raise RecipeError(f"{origin} is not a valid recipe:\n  " + "\n  ".join(lines)) from None


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
        target[parts[-1]] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise RecipeError(f"--set {change}: the value is not valid YAML: {error}") from error


def _explain(problem: Any) -> str:
    """Return one line for one of pydantic's errors."""
    kinds = set(SOURCES)
    location = [str(part) for part in problem["loc"]]
    known = _keys_at(location[:-1])
    # The tag of the union is no key of the recipe.
    shown = [p for i, p in enumerate(location) if not (i == 1 and p in kinds)]
    where = "`" + ".".join(shown) + "`"
    if problem["type"] == "extra_forbidden":
        guess = did_you_mean(location[-1], known) if known else ""
        return f"{where} is not a key.{guess} Known here: {', '.join(known)}."
    if problem["type"] == "missing":
        return f"{where} is missing."
    if problem["type"] == "union_tag_invalid":
        tag = str(problem["ctx"]["tag"])
        return f"`source.kind` {tag!r} is unknown.{did_you_mean(tag, kinds)} Known: " + (
            ", ".join(sorted(kinds)) + "."
        )
    if problem["type"] == "union_tag_not_found":
        return f"`source.kind` is missing. Known: {', '.join(sorted(kinds))}."
    return f"{where}: {problem['msg']}. Received: {problem['input']!r}."


def _keys_at(location: list[str]) -> list[str]:
    """Return the keys of the section at `location`."""
    model: Any = Recipe
    for part in location:
        if model is None:
            return []
        if part in SOURCES and location[:1] == ["source"]:
            model = SOURCES[part]
            continue
        field = model.model_fields.get(part) if hasattr(model, "model_fields") else None
        annotation = field.annotation if field is not None else None
        if part == "source" and model is Recipe:
            continue
        model = _model_in(annotation)
    return list(model.model_fields) if hasattr(model, "model_fields") else []


def _model_in(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        found = _model_in(argument)
        if found is not None:
            return found
    return None
