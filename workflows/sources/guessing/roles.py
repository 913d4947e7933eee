"""Roles of a log's columns: who, what, when, how it went."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from towermill.workflows.sources.guessing.columns import Column
from towermill.workflows.sources.guessing.names import (
    CLICK,
    EVENT,
    RATING,
    STRENGTH,
    TIME,
    TITLE,
    Entity,
    entity_of,
    is_id,
    is_key,
)
from towermill.workflows.sources.guessing.outcomes import (
    click_score,
    event_score,
    is_split,
    rating_score,
    strength_score,
    time_score,
)

#: Asks a question with some answers, and returns one of them.
Ask = Callable[[str, Sequence[str]], str]

#: Two columns are equally likely if their scores are no further apart.
_CLOSE = 0.35
_LONG = 60
#: What the score of a column of another entity than a user loses as the user.
_INSTEAD: Final[dict[Entity, float]] = {"user": 0.0, "session": 1.2, "device": 1.5}
#: Ids of which nearly all last less than this, in a log of some days, are sessions; in seconds.
_SESSION, _DAYS, _MOSTLY = 12 * 3600, 3 * 86_400, 0.95


@dataclass(frozen=True)
class LogRoles:
    """The columns of a log.

    Attributes
    ----------
    user, item
        The ids.
    user_is
        What takes the user's part: a user, a session or a device.
    score
        How sure the two ids are.
    rivals
        Role to the columns that are as likely.
    """

    user: Column
    item: Column
    user_is: Entity
    score: float
    timestamp: Column | None = None
    rating: Column | None = None
    event: Column | None = None
    click: Column | None = None
    strength: Column | None = None
    split: Column | None = None
    session: Column | None = None
    rivals: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def taken(self) -> dict[str, Column]:
        """Role to column, of the roles that are filled."""
        names = ("user", "item", "timestamp", "rating", "event", "click", "strength", "split")
        found = {name: getattr(self, name) for name in (*names, "session")}
        return {name: column for name, column in found.items() if column is not None}


def roles_of(
    columns: Sequence[Column],
    named: bool,
    evidence: Mapping[str, Entity],
    ask: Ask | None = None,
) -> LogRoles | None:
    """Return the roles of a log's columns, or None if fewer than two can be ids.

    Parameters
    ----------
    named
        Whether the columns have names of their own.
    evidence
        Columns to whose key they are, as other tables tell.
    ask
        Asks which of two equally likely columns is the user or the item.

    Examples
    --------
    >>> import polars as pl
    >>> names = {"artistID": [1, 2, 1, 2], "userID": [7, 7, 8, 8], "weight": [5, 9, 3, 3]}
    >>> columns = [Column(name, pl.Series(values)) for name, values in names.items()]
    >>> {role: column.name for role, column in roles_of(columns, True, {}).taken.items()}
    {'user': 'userID', 'item': 'artistID', 'strength': 'weight'}
    """
    rest = [column for column in columns if column.distinct or column.holds == "list"]
    split = next((c for c in rest if is_split(c)), None)
    event = _best(rest, event_score)
    timestamp = _best(rest, lambda c: time_score(c, named))
    rating = _best(rest, lambda c: rating_score(c, named, columns.index(c)))
    gone = {c.name for c in (split, event, timestamp, rating) if c is not None}
    keys = [c for c in rest if c.name not in gone and _may_be_key(c, named)]
    users = {c.name: _user_score(c, evidence.get(c.name)) for c in keys}
    items = {c.name: _item_score(c, evidence.get(c.name)) for c in keys}
    most = max((c.distinct for c in keys), default=1)
    for c in keys if named else ():
        # Of columns without a telling name, one with many values is the likelier id.
        told = entity_of(c.words) is None and c.name not in evidence
        items[c.name] += 0.3 * told * (items[c.name] > 0) * c.distinct / most
    if not named:
        items = {
            c.name: score + 0.5 * _looks_like_id(c) + 0.3 * c.distinct / most - c.missing
            for c, score in zip(keys, items.values(), strict=True)
        }
    place = {c.name: i / (10 * len(keys)) for i, c in enumerate(keys)}
    # The user usually comes first; without names, that is the best that is known.
    order = 0.2 if named else 1.0
    pairs = [
        (users[u] + items[i] + order * (place[u] < place[i]) - place[u] * (not named), u, i)
        for u in users
        for i in items
        if u != i and users[u] > 0 and items[i] > 0
    ]
    if not pairs:
        return None
    score, user, item = max(pairs, key=lambda pair: pair[0])
    rivals = {
        "user": _rivals(users, user, item) if named else [],
        "item": _rivals(items, item, user) if named else [],
    }
    by_name = {c.name: c for c in columns}
    if ask is not None and rivals["user"]:
        user = ask("Which column is the user?", [user, *rivals["user"]])
    if ask is not None and rivals["item"]:
        options = [name for name in (item, *rivals["item"]) if name != user]
        item = ask("Which column is the item?", options)
    free = [c for c in rest if c.name not in {*gone, user, item}]
    return LogRoles(
        user=by_name[user],
        item=by_name[item],
        user_is=_acts_as(by_name[user], timestamp),
        score=score,
        timestamp=timestamp,
        rating=rating,
        event=event,
        click=_best(free, click_score),
        strength=_best(free, strength_score),
        split=split,
        session=next(filter(_is_session, free), None),
        rivals={role: found for role, found in rivals.items() if found},
    )


def _best(columns: Sequence[Column], score: Callable[[Column], float]) -> Column | None:
    scores = [(score(c), -i, c) for i, c in enumerate(columns)]
    found = max(scores, key=lambda one: one[:2], default=None)
    return found[2] if found is not None and found[0] > 0 else None


def _rivals(scores: Mapping[str, float], chosen: str, other: str) -> list[str]:
    near = (name for name in scores if scores[name] > scores[chosen] - _CLOSE)
    return [name for name in near if name not in (chosen, other)]


def _acts_as(column: Column, timestamp: Column | None) -> Entity:
    """Return what a column's ids are, by its name; where that is silent, by how long each lasts."""
    entity = entity_of(column.words)
    if entity is not None:
        return entity if entity in ("session", "device") else "user"
    seconds = timestamp.seconds if timestamp is not None else None
    if seconds is None:
        return "user"
    frame = pl.DataFrame({"id": column.series, "at": seconds}).drop_nulls()
    spans = frame.group_by("id").agg((pl.col("at").max() - pl.col("at").min()).alias("span"))
    whole = float(frame["at"].max()) - float(frame["at"].min())  # type: ignore[arg-type]
    short = float((spans["span"] < _SESSION).mean() or 0)  # type: ignore[arg-type]
    return "session" if whole > _DAYS and short > _MOSTLY else "user"


def _may_be_key(column: Column, named: bool) -> bool:
    if column.distinct < 2 or column.holds not in ("integer", "text"):
        return False
    if not column.name or column.words[:1] in ((), ("unnamed",), ("index",)):
        return False
    if not named and column.has_points:
        return False
    # Hashes are long, too, but have no blanks.
    return column.length <= _LONG or _looks_like_id(column)


def _user_score(column: Column, told: Entity | None) -> float:
    entity = entity_of(column.words)
    if entity == "item":
        return 0.0
    score = _name_score(column)
    if entity is not None:
        score -= _INSTEAD[entity]
        # A row of its own for each order is no session of several.
        score -= 2 * (entity == "session" and column.is_unique)
    return score + 2 * (told == "user") - 2 * (told == "item")


def _item_score(column: Column, told: Entity | None) -> float:
    entity = entity_of(column.words)
    if entity in ("user", "session", "device"):
        return 0.0
    score = _name_score(column)
    if entity == "item" and not is_key(column.words) and set(column.words) & TITLE:
        score = 1.2
    return score + 2 * (told == "item") - 2 * (told == "user")


def _name_score(column: Column) -> float:
    """Return how likely a column is a key, by its name and whether its values occur again."""
    words, entity = column.words, entity_of(column.words)
    lost = 3 * column.missing + 2 * (column.is_unique and column.series.len() > 20)
    if entity is not None and is_key(words):
        return (4.0 if is_id(words) or len(words) == 1 else 2.0) - lost
    if entity is not None or set(words) & (RATING | TIME | STRENGTH | CLICK | EVENT):
        return 0.0
    return (1.0 if is_id(words) and is_key(words) else 0.6 if _plain(words) else 0.1) - lost


def _plain(words: Sequence[str]) -> bool:
    return is_key([*words, "id"])


def _looks_like_id(column: Column) -> bool:
    text = column.values.cast(str)
    return not bool(text.str.contains(r"\s").any())


def _is_session(column: Column) -> bool:
    named = entity_of(column.words) == "session" and is_key(column.words)
    return named and column.distinct > 1 and not column.is_unique
