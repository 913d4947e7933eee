"""Write tables, JSON and messages to the terminal."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import typer

from towermill.progress import draw


def print_table(headers: list[str], rows: list[list[str]]) -> None:
    """Print a table; columns of numbers are right-aligned."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for i, header in enumerate(headers):
        number = bool(rows) and i > 0 and all(_is_number(row[i]) for row in rows)
        table.add_column(header, justify="right" if number else "left", overflow="fold")
    for row in rows:
        # As text: a title may hold what Rich takes for markup.
        table.add_row(*map(Text, row))
    Console(soft_wrap=not sys.stdout.isatty()).print(table)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def print_json(value: Any) -> None:
    """Print JSON for a program to read."""
    from towermill.pipelines.bundle.records import to_json

    typer.echo(to_json(value, indent=2))


def say(message: str) -> None:
    """Tell the user, on standard error."""
    typer.echo(message, err=True)


class LogFormat(StrEnum):
    """How messages are written to standard error."""

    TEXT = "text"
    JSON = "json"


def set_up_logging(level: int, log_format: LogFormat = LogFormat.TEXT) -> None:
    """Log to standard error, Towermill's from this level on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        _AsJson() if log_format is LogFormat.JSON else logging.Formatter("%(message)s")
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("towermill").setLevel(level)
    draw(level == logging.INFO and log_format is LogFormat.TEXT)


class _AsJson(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger and message."""

    def format(self, record: logging.LogRecord) -> str:
        told = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            told["traceback"] = self.formatException(record.exc_info)
        return json.dumps(told)


#: Options that may stand before or after the command, and whether a value follows.
_GLOBAL = {"-v": 0, "--verbose": 0, "-q": 0, "--quiet": 0, "--log-format": 1, "--trust": 0}


def global_options_first(words: Sequence[str]) -> list[str]:
    """Return a command line with the options that all commands have before the command.

    Examples
    --------
    >>> global_options_first(["run", "demo", "--log-format", "json", "-q"])
    ['--log-format', 'json', '-q', 'run', 'demo']
    """
    words, first, rest = list(words), [], []
    while words:
        word = words.pop(0)
        if word == "--":
            rest += [word, *words]
            break
        name, given, _ = word.partition("=")
        if name in _GLOBAL:
            first += [word, *(words.pop(0) for _ in range(_GLOBAL[name]) if words and not given)]
        else:
            rest.append(word)
    return [*first, *rest]
