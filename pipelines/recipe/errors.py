"""pydantic's errors in the words of a recipe."""

from __future__ import annotations

from typing import Any, get_args, get_origin

from pydantic import BaseModel

from towermill.errors import did_you_mean
from towermill.pipelines.recipe.recipe import Recipe


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
