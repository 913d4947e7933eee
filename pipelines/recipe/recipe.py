"""A recipe: read from YAML, changed by ``--set``, checked before anything runs."""

from __future__ import annotations

from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from towermill.errors import RecipeError, did_you_mean
from towermill.models.configs.base import Events
from towermill.models.configs.registry import (
    ModelConfig,
    TrainConfig,
    TwoTowerConfig,
    check_monitor,
)
from towermill.pipelines.gates_config import GatesConfig
from towermill.pipelines.recipe.index import IndexConfig
from towermill.pipelines.recipe.runtime import RuntimeConfig
from towermill.pipelines.recipe.simulate import SimulateConfig
from towermill.pipelines.recipe.tune import TuneConfig
from towermill.workflows.config import FeatureConfig, check_for_impressions
from towermill.workflows.selecting.filters import Filters
from towermill.workflows.selecting.split import Split
from towermill.workflows.sources import SOURCES
from towermill.workflows.text.config import TextConfig


class EvaluateConfig(BaseModel):
    """How the test split is ranked.

    Parameters
    ----------
    k
        Cut-offs. Left out: 10 and 100 over the catalogue, 5 and 10 within impressions.
    filter_seen
        Over the catalogue: leave out what the user met in earlier splits.
    query
        Over the catalogue. ``user``: one query a user, the mean over users. ``interaction``: one
        query a held-out row, the mean over rows.
    max_queries
        Rank at most so many queries or impressions, a fixed sample (of validation as well); 0
        ranks all.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    k: tuple[PositiveInt, ...] | None = Field(None, min_length=1)
    filter_seen: bool = True
    query: Literal["user", "interaction"] = "user"
    max_queries: int = Field(0, ge=0)


class ContinueConfig(BaseModel):
    """Which finished run is gone on from, with new data.

    Parameters
    ----------
    run
        Its folder: ``runs/<recipe>/latest``, or one of ``runs/<recipe>/by-run``.
    replay
        Rows of the earlier training that are trained on again, for each new one.
    epochs
        At most so many passes, and no more than `train.epochs`.
    learning_rate_factor
        By which `train.learning_rate` is multiplied.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    run: Path
    replay: float = Field(1.0, ge=0)
    epochs: PositiveInt = 4
    learning_rate_factor: float = Field(0.3, gt=0)


class ExportConfig(BaseModel):
    """What the bundle holds.

    Parameters
    ----------
    index
        How the nearest items are found: see `IndexConfig`.
    gates
        What keeps it from being published: see `GatesConfig`.
    tolerance
        Largest difference allowed between an embedding of the trained model and of its reloaded
        export.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    index: IndexConfig = IndexConfig()
    gates: GatesConfig = GatesConfig()
    tolerance: float = Field(1e-4, gt=0)


class Recipe(BaseModel):
    """From raw data to a bundle; all but `source` has a default."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    description: str = ""
    source: Annotated[Union[tuple(SOURCES.values())], Field(discriminator="kind")]  # type: ignore[valid-type]  # noqa: UP007
    filters: Filters = Filters()
    split: Split = Split()
    features: FeatureConfig = FeatureConfig()
    text: TextConfig = TextConfig()
    model: ModelConfig = TwoTowerConfig()
    train: TrainConfig = TrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    export: ExportConfig = ExportConfig()
    tune: TuneConfig | None = None
    continue_from: ContinueConfig | None = None
    simulate: SimulateConfig = SimulateConfig()
    runtime: RuntimeConfig = RuntimeConfig()

    @property
    def events(self) -> Events:
        """What the source gives, the model learns from and is judged by."""
        return "impressions" if self.source.gives_impressions else "interactions"

    @field_validator("model", mode="before")
    @classmethod
    def _of_default_kind(cls, value: Any) -> Any:
        if isinstance(value, dict) and "kind" not in value:
            return {"kind": TwoTowerConfig.model_fields["kind"].default, **value}
        return value

    @model_validator(mode="after")
    def _of_one_protocol(self) -> Recipe:
        shown, learns = self.source.gives_impressions, self.model.learns_from
        if not shown and "interactions" not in learns:
            raise ValueError(
                f"`model.kind: {self.model.kind}` learns from impressions, and `source.kind: "
                f"{self.source.kind}` gives none. Use a source such as ebnerd, mind or news (with "
                "`rows: impressions`), or `model.kind: two_tower`"
            )
        if shown and "impressions" not in learns:
            raise ValueError(
                f"`model.kind: {self.model.kind}` learns from interactions, and `source.kind: "
                f"{self.source.kind}` gives impressions. Set `source.rows: clicks`, or "
                "`model.kind: nrms`"
            )
        if shown and self.filters != Filters():
            raise ValueError(
                "`filters` are for interactions; of impressions nothing is filtered. Leave the "
                "section out, or set `source.rows: clicks`"
            )
        return self

    @model_validator(mode="after")
    def _sections_agree(self) -> Recipe:
        given = self.source.gives_impressions and getattr(self.source, "vectors", None)
        if given and self.text.vectors:
            raise ValueError(
                "`source.vectors` and `text.vectors` should not both be set: an article has one "
                "vector. Leave one of them out"
            )
        try:
            if self.source.gives_impressions:
                check_for_impressions(self.features, self.split)
            if self.train.monitor is not None:
                check_monitor(self.train.monitor, self.events)
        except RecipeError as error:
            raise ValueError(str(error).rstrip(".")) from None
        return self


def shipped_recipes() -> dict[str, str]:
    """Return the name and description of each recipe that ships."""
    files = _shipped_files()
    return {n: yaml.safe_load(files[n].read_text()).get("description", "") for n in sorted(files)}


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
        content = yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError) as error:
        raise RecipeError(f"{name} is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise RecipeError(f"{name} should be a YAML mapping with at least `source:`.")
    content.setdefault("name", stem)
    for change in changes or []:
        _set(content, change)
    return validate_recipe(content, name)


class _Loader(yaml.SafeLoader):
    """YAML's plain types, and no key twice (of which PyYAML would keep the last)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else ""
            if name in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {name!r} stands here twice", key.start_mark
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
        # Of a list with a wrong value pydantic also says that it is too short without it.
        wrong = {problem["loc"][:-1] for problem in problems}
        kept = [p for p in problems if p["type"] != "too_short" or p["loc"] not in wrong]
        lines = list(dict.fromkeys(_explain(problem) for problem in kept))
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
        target[parts[-1]] = yaml.load(value, _Loader)
    except (yaml.YAMLError, ValueError) as error:
        raise RecipeError(f"--set {change}: the value is not valid YAML: {error}") from error


def _explain(problem: Any) -> str:
    """Return one line for one of pydantic's errors."""
    shown, section, inside = _place([str(part) for part in problem["loc"]])
    where = f"`{'.'.join(shown)}`"
    kind, context = problem["type"], problem.get("ctx", {})
    if kind == "extra_forbidden":
        model = _below(section, None)
        known = list(model.model_fields) if model else []
        guess = did_you_mean(shown[-1], known)
        return f"{where} is not a key.{guess} Known here: {', '.join(known)}."
    if kind == "missing":
        return f"{where} is missing."
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        kinds = sorted(member.model_fields["kind"].default for member in get_args(inside))
        found = f"{context['tag']!r} is unknown." if "tag" in context else "is missing."
        guess = did_you_mean(str(context.get("tag", "")), kinds)
        return f"`{'.'.join([*shown, 'kind'])}` {found}{guess} Known: {', '.join(kinds)}."
    message, guess = problem["msg"].removeprefix("Value error, ").rstrip("."), ""
    if not shown:  # of sections that contradict one another: the message names them
        return f"{message}."
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        message = "Expected a section: keys and their values"
    if kind == "literal_error":
        guess = did_you_mean(str(problem["input"]), context["expected"].split("'")[1::2])
    return f"{where}: {message}. Received: {problem['input']!r}.{guess}"


def _place(location: list[str]) -> tuple[list[str], Any, Any]:
    """Return the key of an error's location, the annotation of its section and its own."""
    shown: list[str] = []
    section: Any = Recipe
    inside: Any = Recipe
    for part in location:
        section = inside
        tagged = _tagged(section, part)
        inside = tagged or _below(section, part)
        # Tags and types of a union's members are pydantic's words, not keys of the recipe.
        named = part in [getattr(member, "__name__", "") for member in get_args(section)]
        if not (tagged or named or part == "[key]"):
            shown.append(part)
    return shown, section, inside


def _tagged(annotation: Any, tag: str) -> Any:
    """Return the member of a union of models whose `kind` is `tag`."""
    for member in get_args(annotation):
        kind = member.model_fields.get("kind") if _is_model(member) else None
        if kind is not None and kind.default == tag:
            return member
    return None


def _below(annotation: Any, part: str | None) -> Any:
    """Return the annotation of `part` within one of a model or mapping; for None, the model."""
    if _is_model(annotation):
        if part is None:
            return annotation
        field = annotation.model_fields.get(part)
        return field.annotation if field is not None else None
    if get_origin(annotation) is dict:
        return get_args(annotation)[1] if part is not None else None
    found = (_below(argument, part) for argument in get_args(annotation))
    return next((inner for inner in found if inner is not None), None)


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
