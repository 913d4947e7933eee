"""Build frozen dataclasses from plain JSON; `dataclasses.asdict` is the inverse."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Final, get_args, get_origin, get_type_hints

#: JSON does not tell 1 from 1.0.
_ACCEPTED: Final[dict[Any, tuple[type, ...]]] = {float: (float, int)}


def from_json(kind: Any, value: Any, at: str = "it") -> Any:
    """Return a JSON value as a type: a dataclass, a dict, a list, a union or a plain type.

    Unknown keys are ignored.

    Raises
    ------
    TypeError, KeyError
        The value is of another type, or a field is missing; the message says where.

    Examples
    --------
    >>> from towermill.features.inputs import RawInput
    >>> from_json(RawInput, {"dtype": "float64", "list": False})
    RawInput(dtype='float64', list=False, missing=None, time=False)
    """
    if kind is Any:
        return value
    if get_origin(kind) is UnionType:
        options = get_args(kind)
        if value is None and NoneType in options:
            return None
        plain = [option for option in options if isinstance(value, _classes(option))]
        return from_json((plain or options)[0], value, at)
    right = isinstance(value, _classes(kind)) and (kind is bool or not isinstance(value, bool))
    if not right:
        raise TypeError(f"{at} should be {kind}, and is {value!r}")
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        held = {f.name: value[f.name] for f in fields(kind) if f.name in value}
        return kind(**{n: from_json(hints[n], v, f"{at}.{n}") for n, v in held.items()})  # type: ignore[operator]
    if get_origin(kind) is dict:
        return {n: from_json(get_args(kind)[1], v, f"{at}.{n}") for n, v in value.items()}
    if get_origin(kind) is list:
        return [from_json(get_args(kind)[0], one, f"{at}[{i}]") for i, one in enumerate(value)]
    return value


def _classes(kind: Any) -> tuple[type, ...]:
    """Return the Python classes that a type may have in JSON."""
    if is_dataclass(kind):
        return (dict,)
    return _ACCEPTED.get(kind, (get_origin(kind) or kind,))
