"""Which table is the log, and which are its items and users."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl

from towermill.errors import DataError
from towermill.workflows.sources.guessing.columns import Column
from towermill.workflows.sources.guessing.features import FeatureGuess, features_of
from towermill.workflows.sources.guessing.grouping import find_tables
from towermill.workflows.sources.guessing.names import (
    ITEM_TRAITS,
    USER_TRAITS,
    Entity,
    entity_of,
    word_set,
    words_of,
)
from towermill.workflows.sources.guessing.roles import Ask, LogRoles, roles_of
from towermill.workflows.sources.guessing.sample import Sample

#: Score of a log's two ids below which there is none.
_LEAST = 1.0
#: Score of a side table's key below which it is none of the log's.
_LEAST_KEY = 1.5
#: Share of the log's ids that a key must hold, where both samples are whole.
_MATCH = 0.3
_ENDINGS = word_set("csv tsv txt dat data parquet json jsonl ndjson gz bz2 xz zst")


@dataclass(frozen=True)
class SideGuess:
    """A table of items or users, its key, and what its other columns become."""

    sample: Sample
    key: Column
    match: float
    features: list[FeatureGuess]


@dataclass(frozen=True)
class Guess:
    """What was guessed of some files.

    Attributes
    ----------
    log, roles
        The table of interactions, and its columns' roles.
    items, users
        Tables of the log's items and users, if there are any.
    others
        Columns of the log without a role.
    unused
        Files that the recipe does not read, and why.
    """

    log: Sample
    roles: LogRoles
    items: SideGuess | None = None
    users: SideGuess | None = None
    others: Sequence[Column] = ()
    unused: dict[str, str] = field(default_factory=dict)


def columns_of(sample: Sample) -> list[Column]:
    """Return the profiles of a sample's columns.

    Examples
    --------
    >>> _ = Path("log.csv").write_text("user,stars\\na,1\\nb,5\\n")
    >>> from towermill.workflows.sources.guessing.sample import open_sample
    >>> [(column.name, column.holds) for column in columns_of(open_sample(Path("log.csv")))]
    [('user', 'text'), ('stars', 'integer')]
    """
    return [Column(series.name, series) for series in sample.frame.get_columns()]


def guess(paths: Sequence[str], ask: Ask | None = None) -> Guess:
    """Return which table at some paths is the log, what its columns are, and what describes it.

    Parameters
    ----------
    paths
        Files or folders.
    ask
        Asks which of two equally likely columns is the user or the item; without it, the first is
        taken.

    Raises
    ------
    DataError
        Nothing is readable, or no table has a user and an item.

    Examples
    --------
    >>> lines = [f"{n % 7}\\t{n % 11}\\n" for n in range(200)]
    >>> _ = Path("links.txt").write_text("".join(lines))
    >>> found = guess(["links.txt"])
    >>> found.roles.user.name, found.roles.item.name, found.log.reading
    ('user_id', 'item_id', {'format': 'tsv', 'columns': ['user_id', 'item_id']})
    """
    found = find_tables(paths)
    tables = {sample.path: (sample, columns_of(sample)) for sample in found.tables}
    evidence = {path: _evidence(columns, path, tables) for path, (_, columns) in tables.items()}
    logs: list[tuple[float, str]] = []
    for path, (sample, columns) in tables.items():
        roles = roles_of(columns, sample.named, evidence[path])
        if roles is not None and roles.score >= _LEAST:
            logs.append((_log_score(roles, sample), path))
    if not logs:
        raise _no_log(tables)
    path = max(logs)[1]
    log, columns = tables[path]
    roles = roles_of(columns, log.named, evidence[path], ask)
    if roles is None:
        raise _no_log(tables)
    sides = _sides(roles, {other: one for other, one in tables.items() if other != path})
    unused = dict(found.skipped)
    used = {path, *(side.sample.path for side in sides.values())}
    unused |= {
        other: "no column of it is a key with one row for each of the log's users or items"
        for other in tables
        if other not in used
    }
    taken = {column.name for column in roles.taken.values()}
    others = [column for column in columns if column.name not in taken]
    made = Guess(log, roles, sides.get("item"), sides.get("user"), others, unused)
    return made if log.named else _named(made)


def _log_score(roles: LogRoles, sample: Sample) -> float:
    told = 0.8 * (roles.timestamp is not None) + 0.6 * (roles.rating is not None)
    told += 0.6 * (roles.event is not None or roles.click is not None)
    told += 0.4 * (roles.strength is not None)
    # A table with one row for each user, or item, describes them.
    unique = 3.0 * (roles.user.is_unique or roles.item.is_unique) * (sample.rows > 2)
    return roles.score + told - unique + min(sample.rows, 10**7) / 10**8


def _evidence(
    columns: Sequence[Column], path: str, tables: dict[str, tuple[Sample, list[Column]]]
) -> dict[str, Entity]:
    """Return columns that hold the keys of another table, and what that table describes."""
    found: dict[str, Entity] = {}
    for other, (_, theirs) in tables.items():
        kind = _describes(theirs)
        if other == path or kind is None:
            continue
        for key in theirs[:3]:
            if not key.is_unique or key.holds not in ("integer", "text"):
                continue
            for column in columns:
                same = column.name.lower() == key.name.lower()
                if column.holds == key.holds and (same or _share(column, key) > 0.9):
                    entity = entity_of(column.words)
                    if entity in (None, kind) and (same or entity is None):
                        found.setdefault(column.name, kind)
    return found


def _describes(columns: Sequence[Column]) -> Entity | None:
    words = {word for column in columns for word in column.words}
    of_items, of_users = len(words & ITEM_TRAITS), len(words & USER_TRAITS)
    if of_items == of_users:
        return None
    return "item" if of_items > of_users else "user"


def _share(column: Column, key: Column) -> float:
    """Return the share of a column's distinct values that a key holds."""
    ours, theirs = (_as_text(one.values.unique()) for one in (column, key))
    return float(ours.is_in(theirs.implode()).mean() or 0) if ours.len() else 0.0  # type: ignore[arg-type]


def _as_text(values: pl.Series) -> pl.Series:
    if values.dtype.is_float():
        values = values.cast(pl.Int64, strict=False)
    return values.cast(pl.String)


def _sides(
    roles: LogRoles, tables: dict[str, tuple[Sample, list[Column]]]
) -> dict[Entity, SideGuess]:
    """Return the tables that describe the log's items and users."""
    ids: dict[Entity, Column] = {"item": roles.item, "user": roles.user}
    scores: list[tuple[float, float, Entity, str, Column]] = []
    for path, (sample, columns) in tables.items():
        for key in columns:
            if not _is_key(key, sample):
                continue
            for kind, column in ids.items():
                match = _share(column, key)
                score = match + _key_score(key, kind, column, columns) * sample.named
                score += _file_score(path, kind)
                enough = match >= _MATCH if sample.whole else match > 0 or key.name == column.name
                if score >= _LEAST_KEY and enough:
                    scores.append((score, match, kind, path, key))
    found: dict[Entity, SideGuess] = {}
    used: set[str] = set()
    names: set[str] = {column.name for column in roles.taken.values()}
    for _, match, kind, path, key in sorted(scores, key=lambda one: -one[0]):
        if kind in found or path in used:
            continue
        used.add(path)
        sample, columns = tables[path]
        features = features_of([c for c in columns if c.name != key.name], names, kind)
        names |= {feature.name for feature in features}
        found[kind] = SideGuess(sample, key, match, features)
    return found


def _is_key(column: Column, sample: Sample) -> bool:
    return column.is_unique and column.holds in ("integer", "text") and sample.rows > 1


def _key_score(key: Column, kind: Entity, column: Column, columns: Sequence[Column]) -> float:
    score = 2.0 * (key.name.lower() == column.name.lower() or key.words == column.words)
    entity = entity_of(key.words)
    if entity is not None:
        score += 1.5 if kind == ("item" if entity == "item" else "user") else -3.0
    described = _describes([c for c in columns if c.name != key.name])
    if described is not None:
        score += 1.0 if described == kind else -1.0
    return score


def _file_score(path: str, kind: Entity) -> float:
    """Return what the name of a file adds: ``artists.dat`` is likely of items."""
    words = [word for word in words_of(Path(path).name) if word not in _ENDINGS]
    entity = entity_of([*words, *(word.removesuffix("s") for word in words)])
    if entity is None or len(words) > 2:
        return 0.0
    return 1.0 if kind == ("item" if entity == "item" else "user") else -1.0


def _named(made: Guess) -> Guess:
    """Return a guess of a log without a header with the names of its roles."""
    user = "session_id" if made.roles.user_is == "session" else "user_id"
    given = {"user": user, "item": "item_id", "session": "session_id"}
    names = {c.name: given.get(role, role) for role, c in made.roles.taken.items()}
    roles: dict[str, Any] = {
        role: Column(names[c.name], c.series.alias(names[c.name]))
        for role, c in made.roles.taken.items()
    }
    all_names = [names.get(name, name) for name in made.log.frame.columns]
    return replace(made, log=made.log.renamed(all_names), roles=replace(made.roles, **roles))


def _no_log(tables: Collection[str]) -> DataError:
    return DataError(
        "A log should have a column of users (or sessions) and one of items, each with values that "
        f"occur again. Found none in {', '.join(tables)}. Name the file of the log itself, or "
        "write the recipe by hand: docs/recipes.md."
    )
