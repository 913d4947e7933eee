"""The ranges of a recipe, checked against its schema, and the recipes within them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from towermill.errors import RecipeError, did_you_mean
from towermill.models.configs.train import monitor_of
from towermill.pipelines.recipe.load import validate_recipe
from towermill.pipelines.recipe.recipe import Recipe
from towermill.pipelines.recipe.tune import ParameterRange, TuneConfig

#: All trials share what the earlier stages made, and are judged alike.
_SECTIONS = ("model", "train")
_EXAMPLE = """tune:
  parameters:
    train.learning_rate: {low: 0.0005, high: 0.02, log: true}"""


class Space:
    """The search space of a recipe.

    Parameters
    ----------
    recipe
        With a section `tune`.

    Attributes
    ----------
    config
        That section.
    metric
        By which trials are compared, the higher the better; on the validation split.

    Raises
    ------
    RecipeError
        There is no such section or no validation split, a key is not the recipe's or not one to
        tune, or an end of a range or a choice makes no valid recipe.
    """

    def __init__(self, recipe: Recipe) -> None:
        if recipe.tune is None:
            raise RecipeError(
                f"Recipe {recipe.name!r} should say what to tune, in a section such as\n{_EXAMPLE}"
            )
        if recipe.split.kind != "given" and not recipe.split.validation:
            raise RecipeError(
                "Tuning compares trials on the validation split. Set `split.validation` above 0."
            )
        self.config: TuneConfig = recipe.tune
        self.metric = monitor_of(recipe.train, recipe.events, recipe.model.target_names)
        self._base = recipe.model_copy(update={"tune": None})
        self._ranges = {
            key: _checked(self._base, key, given) for key, given in self.config.parameters.items()
        }

    def recipe(self, values: Mapping[str, Any]) -> Recipe:
        """Return the recipe with these values of its keys, and without `tune`.

        Raises
        ------
        RecipeError
            Each value may be right, and all of them together not.
        """
        return _changed(self._base, values)

    def distributions(self) -> dict[str, Any]:
        """Return Optuna's distribution of each key. A choice is known by its JSON."""
        from optuna.distributions import (
            CategoricalDistribution,
            FloatDistribution,
            IntDistribution,
        )

        found: dict[str, Any] = {}
        for key, span in self._ranges.items():
            if span.choices:
                found[key] = CategoricalDistribution(span.choices)
            elif isinstance(span.low, int):
                found[key] = IntDistribution(
                    span.low, int(span.high), log=span.log, step=int(span.step or 1)
                )
            else:
                found[key] = FloatDistribution(span.low, span.high, log=span.log, step=span.step)
        return found

    def values(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return the recipe's values for the parameters that Optuna has drawn."""
        return {
            key: json.loads(drawn) if self._ranges[key].choices else drawn
            for key, drawn in parameters.items()
        }

    def own(self) -> dict[str, Any]:
        """Return the recipe's own values."""
        return {key: json.loads(_json(_value(self._base, key))) for key in self._ranges}

    def own_parameters(self) -> dict[str, Any] | None:
        """Return them as Optuna would draw them; None if one lies outside its range."""
        found = {k: _json(v) if self._ranges[k].choices else v for k, v in self.own().items()}
        return found if all(self._ranges[k].holds(v) for k, v in found.items()) else None


@dataclass(frozen=True)
class _Span:
    """A checked range: ends of the key's own type, or choices as JSON."""

    low: float = 0.0
    high: float = 0.0
    step: float | None = None
    log: bool = False
    choices: tuple[str, ...] = ()

    def holds(self, value: Any) -> bool:
        """Return whether a value of the recipe, or a choice as JSON, could be drawn."""
        if self.choices:
            return value in self.choices
        if value is None or not self.low <= value <= self.high:
            return False
        steps = (value - self.low) / self.step if self.step else 0.0
        return bool(abs(steps - round(steps)) < 1e-6)


def _checked(base: Recipe, key: str, given: ParameterRange) -> _Span:
    _check_key(base, key)
    if given.choices is not None:
        # As the recipe would hold them: 0.01 and "1e-2" are one.
        found = [_json(_substituted(base, key, choice)) for choice in given.choices]
        if len(set(found)) < len(found):
            raise RecipeError(f"`tune.parameters.{key}` has the same choice twice: {found}.")
        return _Span(choices=tuple(found))
    low, high = (_substituted(base, key, end) for end in (given.low, given.high))
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in (low, high))
    if not numbers:
        raise RecipeError(
            f"`tune.parameters.{key}` should have `choices`: it is not a number. "
            f"Received: `low` {given.low:g}, `high` {given.high:g}."
        )
    if isinstance(low, int) and given.step is not None and not given.step.is_integer():
        raise RecipeError(
            f"`tune.parameters.{key}.step` should be a whole number, as the key is. "
            f"Received: {given.step:g}."
        )
    return _Span(low, high, given.step, given.log)


def _check_key(base: Recipe, key: str) -> None:
    parts, value = key.split("."), base
    if parts[0] not in _SECTIONS:
        near = [f"{s}.{k}" for s in _SECTIONS for k in type(getattr(base, s)).model_fields]
        raise RecipeError(
            f"`tune.parameters` should name keys of `model` and `train`, as all trials share what "
            f"`process` made. Received: {key!r}."
            + ("" if parts[0] in Recipe.model_fields else did_you_mean(key, near))
        )
    for place, part in enumerate(parts):
        known = list(type(value).model_fields) if isinstance(value, BaseModel) else []
        if part not in known:
            where, guess = ".".join(parts[:place]), did_you_mean(part, known)
            here = f" Known here: {', '.join(known)}." if known else " It has none."
            raise RecipeError(
                f"`tune.parameters` names {key!r}, and `{where}` has no key {part!r}.{guess}{here}"
            )
        value = getattr(value, part)


def _substituted(base: Recipe, key: str, value: Any) -> Any:
    """Return the value as a recipe holds it that has it under `key`."""
    try:
        changed = _changed(base, {key: value})
    except RecipeError as error:
        _, _, why = str(error).partition("\n")
        raise RecipeError(
            f"`tune.parameters.{key}`: {value!r} does not make a valid recipe:\n{why}"
        ) from error
    metric, there = (
        monitor_of(recipe.train, recipe.events, recipe.model.target_names)
        for recipe in (base, changed)
    )
    if metric != there:
        raise RecipeError(
            f"`tune.parameters.{key}` should leave `train.monitor` as it is: trials are compared "
            f"by {metric}. Received: {value!r}."
        )
    return _value(changed, key)


def _changed(base: Recipe, values: Mapping[str, Any]) -> Recipe:
    # Keys that are not set are left out: they may belong to another kind of model.
    content = base.model_dump(mode="json", exclude_unset=True)
    for key, value in values.items():
        *sections, last = key.split(".")
        target = content
        for part in sections:
            target = target.setdefault(part, {})
        target[last] = value
    content.pop("tune", None)
    return validate_recipe(content, base.name)


def _value(recipe: Recipe, key: str) -> Any:
    value: Any = recipe
    for part in key.split("."):
        value = getattr(value, part)
    return value


def _json(value: Any) -> str:
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    return json.dumps(plain, sort_keys=True)
