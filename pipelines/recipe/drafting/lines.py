"""Lines of YAML with comments."""

from __future__ import annotations

from typing import Any

import yaml

#: Where comments begin.
_COLUMN = 44


def flow(value: Any) -> str:
    """Return a value as YAML on one line.

    Examples
    --------
    >>> flow({"kind": "list", "separator": ","}), flow("User-ID"), flow(None)
    ("{kind: list, separator: ','}", 'User-ID', 'null')
    """
    options: dict[str, Any] = {"default_flow_style": True, "width": 10**9, "sort_keys": False}
    text: str = yaml.safe_dump(value, allow_unicode=True, **options)
    text = text.removesuffix("...\n").strip()
    if text.isprintable():
        return text
    # Line breaks and control characters are escaped in double quotes.
    return str(yaml.safe_dump(value, default_style='"', **options)).strip()


def key(depth: int, name: str, value: Any, comment: str = "", *, off: bool = False) -> str:
    """Return the line of a key.

    Parameters
    ----------
    depth
        Number of sections that it is in.
    off
        Whether the line is commented out.

    Examples
    --------
    >>> key(1, "rating", "stars", "1 to 5")
    '  rating: stars                             # 1 to 5'
    >>> key(0, "split", {"kind": "random"}, off=True)
    '# split: {kind: random}'
    """
    line = f"{'  ' * depth}{'# ' if off else ''}{flow(name)}: {flow(value)}"
    return said(line, comment)


def said(line: str, comment: str = "") -> str:
    """Return a line with a comment after it, or above it where the line is long."""
    text = _plain(comment)
    if not text:
        return line
    if len(line) > _COLUMN:
        return f"{line[: len(line) - len(line.lstrip())]}# {text}\n{line}"
    return f"{line:<{_COLUMN}} # {text}"


def note(depth: int, text: str) -> str:
    """Return a line that is a comment."""
    return f"{'  ' * depth}# {_plain(text)}"


def _plain(text: str) -> str:
    """Return text on one line, what cannot be printed replaced."""
    words = " ".join(text.split())
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in words)
