"""Small files in the layouts in which public data sets are handed out."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

USERS, ITEMS, ROWS = 60, 90, 1500
START = 1_600_000_000
GENRES = ["Action", "Comedy", "Drama", "Horror", "Romance"]
WORDS = [
    "the",
    "of",
    "night",
    "river",
    "stone",
    "lost",
    "summer",
    "king",
    "winter",
    "city",
    "glass",
]


class Row(NamedTuple):
    """A user meets an item."""

    user: int
    item: int
    at: int
    stars: int

    @property
    def when(self) -> datetime:
        return datetime.fromtimestamp(self.at, UTC)


@cache
def rows() -> list[Row]:
    """Return a log in the order of time: some users and items occur more often."""
    draw = random.Random(7)
    found = []
    for n in range(ROWS):
        user = int(USERS * draw.random() ** 1.3) + 1
        item = int(ITEMS * draw.random() ** 1.5) + 1
        found.append(Row(user, item, START + n * 6000 + draw.randint(0, 5000), draw.randint(1, 5)))
    return found


def title(item: int) -> str:
    """Return a title of two or three words; no two are the same."""
    draw = random.Random(item)
    return f"{' '.join(draw.choices(WORDS, k=2)).title()} {item}"


def prose(seed: int, words: int = 30) -> str:
    """Return free text, with commas and quotes."""
    draw = random.Random(seed)
    return ", ".join(" ".join(draw.choices(WORDS, k=4)) for _ in range(words // 4)) + ' "so" it is'


def table(header: Sequence[str] | None, lines: Iterable[Sequence[Any]], sign: str = ",") -> str:
    """Return delimited text without quotes."""
    head = [header] if header else []
    return "".join(sign.join(map(str, line)) + "\n" for line in [*head, *lines])


def jsonl(objects: Iterable[Mapping[str, Any]]) -> str:
    """Return JSON lines."""
    return "".join(json.dumps(one) + "\n" for one in objects)


@dataclass(frozen=True)
class Layout:
    """Files, and what they hold.

    Attributes
    ----------
    name
        The data set.
    files
        Returns name to content.
    roles
        Keys of `source.interactions` as they must be.
    items, users
        Key column of the side table, and features that it must have.
    given
        The paths that `init` is given; by default the whole folder.
    source
        Keys of the section `source` as they must be.
    recipe
        Other sections as they must be.
    """

    name: str
    files: Callable[[], Mapping[str, Any]]
    roles: Mapping[str, Any] = field(default_factory=dict)
    items: tuple[str, Mapping[str, str]] | None = None
    users: tuple[str, Mapping[str, str]] | None = None
    given: Sequence[str] = (".",)
    source: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> list[str]:
        """Write the files, and return the paths that `init` is given."""
        for name, content in self.files().items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, pl.DataFrame):
                content.write_parquet(path)
            else:
                raw = content if isinstance(content, bytes) else content.encode()
                path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
        return [str(folder / path) if path != "." else str(folder) for path in self.given]


def parts_of(values: Sequence[str], seed: int) -> list[str]:
    """Return one to three of some values."""
    draw = random.Random(seed)
    return draw.sample(values, draw.randint(1, 3))
