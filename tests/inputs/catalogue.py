"""The form of the catalogue: what is in the files, and what reading them must give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

#: What is written into a file: text, bytes, a table as Parquet, or its writer.
Content = str | bytes | pl.DataFrame
Rows = list[tuple[Any, ...]]


@dataclass(frozen=True)
class Case:
    """One input and its right answer: the rows that it holds, or that it is refused.

    Attributes
    ----------
    name
        The situation, in a few words.
    files
        Path to content.
    source
        The section `source` of the recipe, or keys besides the default ones of a table.
    rows
        The interactions as they must be read: user, item, and the columns of `more`.
    more
        Names of further columns of `rows`.
    items
        The items as they must be read: id, then the columns that the recipe names.
    refused
        A pattern of the message, if the input must be refused.
    """

    name: str
    files: Mapping[str, Content]
    source: Mapping[str, Any] = field(default_factory=dict)
    rows: Rows | None = None
    more: tuple[str, ...] = ()
    items: Rows | None = None
    refused: str | None = None

    def write(self, folder: Path) -> None:
        """Write the files."""
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, pl.DataFrame):
                content.write_parquet(path)
            elif isinstance(content, bytes):
                path.write_bytes(content)
            else:
                path.write_bytes(content.encode())

    def recipe(self, folder: Path) -> dict[str, Any]:
        """Return a recipe that reads them."""
        first = next(iter(self.files))
        log = str(folder / first.partition("/")[0])
        interactions = {"path": log, **self.source.get("interactions", {})}
        source = {"kind": "table", **self.source, "interactions": interactions}
        if "kind" in self.source:
            source = {**self.source, "path": str(folder)}
        for name in ("items", "users"):
            if name in source:
                source[name] = {"path": str(folder / f"{name}.csv"), **source[name]}
        return {"name": "case", "source": source}


def log(
    name: str, text: Content, rows: Rows | None = None, refused: str | None = None, **keys: Any
) -> Case:
    """Return a case of one file of interactions: CSV if it is text or bytes, else Parquet."""
    file = keys.pop("file", "log.parquet" if isinstance(text, pl.DataFrame) else "log.csv")
    more = keys.pop("more", ())
    return Case(name, {file: text}, keys, rows, more, None, refused)
