"""Triton's ``config.pbtxt``: a message of protocol buffers as text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

#: Fields whose value is a name of an enumeration, which is written without quotes.
_NAMES: Final = frozenset({"data_type", "kind"})


def to_pbtxt(message: Mapping[str, Any]) -> str:
    """Return a message in protobuf's text format, a line a value.

    Parameters
    ----------
    message
        Field name to a number, bool, text, message (a mapping), or a list of such: a repeated
        field. A map of protobuf's is a list of ``{"key": …, "value": …}``.
    """
    return "".join(f"{line}\n" for line in _lines(message, ""))


def _lines(message: Mapping[str, Any], indent: str) -> Iterator[str]:
    for name, value in message.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, Mapping):
                yield f"{indent}{name} {{"
                yield from _lines(one, indent + "  ")
                yield f"{indent}}}"
            else:
                yield f"{indent}{name}: {one if name in _NAMES else _scalar(one)}"


def _scalar(value: bool | int | float | str) -> str:
    # JSON writes all of them as the text format does.
    return json.dumps(value, ensure_ascii=False)
