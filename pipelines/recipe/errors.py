"""Translate pydantic's errors into a recipe's terms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from towermill.errors import did_you_mean
from towermill.pipelines.recipe.recipe import Recipe
from towermill.section import PartSection


def explain(problem: Any, content: Any) -> str:
    """Return one line for one of pydantic's errors in the recipe `content`."""
    shown, section = _place([str(part) for part in problem["loc"]], content)
    where = f"`{'.'.join(shown)}`"
    kind, context = problem["type"], problem.get("ctx", {})
    if kind == "extra_forbidden":
        known = list(section.model_fields) if _is_model(section) else []
        guess = did_you_mean(shown[-1], known)
        return f"{where} is not a key.{guess} Known here: {', '.join(known)}."
    if kind == "missing":
        return f"{where} is missing."
    if kind == "part_kind":
        given = "kind" in problem["input"]
        return f"`{'.'.join([*shown, 'kind'])}`{':' if given else ' is missing.'} {problem['msg']}"
    message, guess = problem["msg"].removeprefix("Value error, ").rstrip("."), ""
    if not shown:  # of sections that contradict one another: the message names them
        return f"{message}."
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        message = "Expected a section: keys and their values"
    if kind == "literal_error":
        guess = did_you_mean(str(problem["input"]), context["expected"].split("'")[1::2])
    return f"{where}: {message}. Received: {problem['input']!r}.{guess}"


def _place(location: list[str], content: Any) -> tuple[list[str], Any]:
    """Return the keys of an error's location, and the section that the last of them is in."""
    shown: list[str] = []
    section: Any = Recipe
    inside: Any = Recipe
    for part in location:
        section, content = _section_at(inside, content), _value(content, part)
        inside = _below(section, part, content)
        # Types of a union's members are pydantic's words, not keys of the recipe.
        named = part in [getattr(member, "__name__", "") for member in get_args(section)]
        if not (named or part == "[key]"):
            shown.append(part)
    return shown, _section_at(section, None)


def _value(content: Any, part: str) -> Any:
    return content.get(part) if isinstance(content, Mapping) else None


def _section_at(annotation: Any, content: Any) -> Any:
    """Return the model among the members of a union, if the annotation is one."""
    members = [member for member in get_args(annotation) if _is_model(member)]
    return members[0] if len(members) == 1 and get_origin(annotation) is not dict else annotation


def _below(section: Any, part: str, content: Any) -> Any:
    """Return the annotation of `part` within a model or mapping, whose value is `content`."""
    if _is_model(section):
        field = section.model_fields.get(part)
        if field is None:
            return None
        kinds = [mark for mark in field.metadata if isinstance(mark, PartSection)]
        return kinds[0].section_of(content) if kinds else field.annotation
    if get_origin(section) is dict:
        return get_args(section)[1]
    found = (_below(argument, part, content) for argument in get_args(section))
    return next((inner for inner in found if inner is not None), None)


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
