"""Build frozen dataclasses from plain JSON, as `dataclasses.asdict` makes it; write any as JSON."""

from __future__ import annotations

import json
import math
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from types import NoneType, UnionType
from typing import Any, Final, get_args, get_origin, get_type_hints

import numpy as np

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


def to_json(value: Any, indent: int | None = None) -> str:
    """Return JSON that every parser reads: NaN and infinities become null, times ISO 8601.

    Parameters
    ----------
    value
        Of plain types, NumPy's, times, or what has a text.
    indent
        Spaces a level; None writes one line without any.

    Examples
    --------
    >>> from towermill.pipelines.bundle.records import to_json
    >>> to_json({"price": float("nan"), "id": 2**60})
    '{"price":null,"id":1152921504606846976}'
    """
    separators = (",", ":") if indent is None else (",", ": ")
    encoder = json.JSONEncoder(
        ensure_ascii=False, allow_nan=False, separators=separators, indent=indent, default=_plain
    )
    try:
        return encoder.encode(value)
    except ValueError:
        return encoder.encode(_finite(value))


def _plain(value: Any) -> Any:
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if isinstance(value, (date, datetime, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    return str(value)


def _finite(value: Any) -> Any:
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    return value
