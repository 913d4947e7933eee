"""Translate pydantic's errors into a recipe's terms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from towermill.errors import did_you_mean
from towermill.pipelines.recipe.recipe import Recipe
from towermill.section import PartSection

#: Type of pydantic's error, or how it begins, to what a recipe should have; the first match counts.
_EXPECTED = {
    "int": "a whole number",
    "float": "a number",
    "finite_number": "a finite number",
    "bool": "true or false",
    "string_type": "text",
    "path": "a path",
    "tuple": "a list, such as [1, 2]",
    "list": "a list, such as [1, 2]",
    "model_type": "a section: keys and their values",
    "model_attributes_type": "a section: keys and their values",
    "dict_type": "a section: keys and their values",
    "literal_error": "{expected}",
    "greater_than_equal": "a number of at least {ge:g}",
    "greater_than": "a number above {gt:g}",
    "less_than_equal": "a number of at most {le:g}",
    "less_than": "a number below {lt:g}",
    "too_short": "at least {min_length} in the list",
    "too_long": "at most {max_length} in the list",
}


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
    expected = next((words for begin, words in _EXPECTED.items() if kind.startswith(begin)), None)
    if expected is not None:
        message = f"Expected {expected.format(**context)}"
    if kind == "literal_error":
        guess = did_you_mean(str(problem["input"]), context["expected"].split("'")[1::2])
    received = "" if "Received: " in message else f" Received: {problem['input']!r}."
    return f"{where}: {message}.{received}{guess}"


def _place(location: list[str], content: Any) -> tuple[list[str], Any]:
    """Return the keys of an error's location, and the section that the last of them is in."""
    shown: list[str] = []
    section: Any = Recipe
    inside: Any = Recipe
    for part in location:
        given = isinstance(content, Mapping) and part in content
        section, content = _section_at(inside, content), _value(content, part)
        inside = _below(section, part, content)
        # Types of a union's members are pydantic's words, not keys of the recipe.
        named = part in [getattr(member, "__name__", "") for member in get_args(section)]
        if given or not (named or "[" in part):  # [key], literal['auto'], function-after[…]
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
