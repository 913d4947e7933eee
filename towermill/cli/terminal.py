"""Write tables, JSON and messages to the terminal."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

import typer


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


def set_up_logging(level: int) -> None:
    """Log to standard error, Towermill's from this level on."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("towermill").setLevel(level)
    if level > logging.DEBUG:
        # Merlin logs the traceback of what it raises; the error itself is reported once.
        logging.getLogger("merlin").setLevel(logging.CRITICAL)
        # Distributed sets its own loggers to "info" as it is imported.
        os.environ.setdefault("DASK_LOGGING__DISTRIBUTED", "warning")
