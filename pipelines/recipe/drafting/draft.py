"""A commented recipe from raw files, and what was guessed on the way."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from towermill.pipelines.recipe.drafting.lines import key, note
from towermill.pipelines.recipe.drafting.training import sections_of
from towermill.pipelines.recipe.load import shipped_text
from towermill.workflows.sources.base import SourceConfig
from towermill.workflows.sources.guessing.columns import Column
from towermill.workflows.sources.guessing.grouping import recognised
from towermill.workflows.sources.guessing.names import TIME
from towermill.workflows.sources.guessing.roles import Ask
from towermill.workflows.sources.guessing.sample import Sample
from towermill.workflows.sources.guessing.tables import Guess, SideGuess, guess

_TIMES = {
    "epoch": "integers since 1970",
    "iso": "ISO 8601 text",
    "typed": "dates or datetimes",
}
_READING = {
    "format": "the name does not say it",
    "columns": 'no header: rename as you like; "" skips a field',
    "encoding": "not UTF-8; if titles look wrong, try latin-1, cp1252 or utf-16",
    "quote_char": "how fields are quoted",
    "null_values": "marks of missing values",
    "on_bad_row": "some lines have too many or too few fields: they are dropped and counted",
    "date_format": "how times are written",
    "decimal": "decimal commas",
}


@dataclass(frozen=True)
class Draft:
    """A recipe for some files.

    Attributes
    ----------
    text
        The recipe.
    rows
        Part, guess, reason: for people to read.
    checks
        What to look at before the recipe is run.
    """

    text: str
    rows: list[list[str]]
    checks: list[str] = field(default_factory=list)


def recipe_path(paths: Sequence[str]) -> Path:
    """Return a name for the recipe of some files, in the working directory.

    Examples
    --------
    >>> recipe_path(["shop/events.csv.gz", "shop/items.csv"])
    PosixPath('events.yaml')
    """
    stem = Path(paths[0]).resolve().name.partition(".")[0]
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")
    return Path(f"{plain or 'recipe'}.yaml")


def draft_recipe(paths: Sequence[str], ask: Ask | None = None) -> Draft:
    """Return a recipe for the files, or the folder of a published data set, at some paths.

    Parameters
    ----------
    paths
        Files or folders: a log of interactions, and tables of its items and users.
    ask
        Asks which of two equally likely columns is the user or the item.

    Raises
    ------
    DataError
        Nothing is readable there, or no table has users and items.

    Examples
    --------
    >>> lines = [f"u{n % 7},i{n % 11},{n % 5 + 1}\\n" for n in range(200)]
    >>> _ = Path("log.csv").write_text("user,item,stars\\n" + "".join(lines))
    >>> draft = draft_recipe(["log.csv"])
    >>> draft.rows[1:4]
    [['user', 'user', 'u0, u1, u2'], ['item', 'item', 'i0, i1, i2'], ['rating', 'stars', '1, 2, 3']]
    """
    source = recognised(paths)
    return _of_tables(guess(paths, ask)) if source is None else _of_source(source, paths[0])


def _of_source(source: SourceConfig, path: str) -> Draft:
    """Return the recipe that ships for a source, with its folder; or the source alone."""
    keys = {"kind": source.kind, **source.model_dump(mode="json", exclude_unset=True)}
    section = "source:\n" + "".join(f"{key(1, name, value)}\n" for name, value in keys.items())
    rows = [["source", source.kind, f"the files in {path} are those of this data set"]]
    recipe = source.starting_recipe
    if recipe is None:
        return Draft(section, rows)
    text = re.sub(
        r"^source:\n(?:[ #].*\n)*", lambda _: section, shipped_text(recipe), flags=re.MULTILINE
    )
    text = re.sub(r"^description:.*\n", "", text, flags=re.MULTILINE)
    if not source.gives_splits:
        kind = "time" if source.events == "impressions" else "random"
        text = text.replace("split: {kind: given}", f"split: {{kind: {kind}}}")
    rows.append(["recipe", recipe, "ships for it"])
    return Draft(f"# As the recipe `{recipe}` that ships, on {path}.\n{text}", rows)


def _of_tables(made: Guess) -> Draft:
    rest = sections_of(made)
    sides = {"items": made.items, "users": made.users}
    lines = [
        "# Drafted by `towermill init`: each line is a guess, and its comment says why. Lines that",
        "# begin with # are alternatives. All keys: docs/recipes.md.",
        *("source:", "  kind: table"),
        *_source_keys(made),
    ]
    lines += ["  interactions:", *_log_lines(made)]
    for name, side in sides.items():
        if side is not None:
            lines += [f"  {name}:", *_side_lines(side, "item_id" if name == "items" else "user_id")]
    lines += [note(1, f"Not read: {path} ({why})") for path, why in made.unused.items()]
    text = "\n".join([*lines, *rest.lines]) + "\n"
    rows = [*_rows(made), *rest.rows]
    return Draft(text, rows, [*_checks(made), *rest.checks])


def _source_keys(made: Guess) -> Iterator[str]:
    ids = [made.roles.user, made.roles.item]
    ids += [side.key for side in (made.items, made.users) if side is not None]
    if types := {column.name: "integer" for column in ids if column.has_points}:
        yield key(1, "types", types, "whole numbers that are written as 12.0")
    missing = max(made.roles.user.missing, made.roles.item.missing)
    if missing:
        yield key(1, "on_null_id", "drop", f"{missing:.1%} of the rows have no user or item")
    if any(_has_blanks(column) for column in ids):
        yield key(1, "normalize_ids", ["strip"], "some ids have blanks around them")


def _has_blanks(column: Column) -> bool:
    return column.is_text and bool(column.values.str.contains(r"^\s|\s$").any())


def _log_lines(made: Guess) -> Iterator[str]:
    roles = made.roles
    yield key(2, "path", made.log.path, f"{_about(made.log)} rows")
    yield key(2, "user_id", roles.user.name, _ids_of(roles.user, roles.user_is))
    yield from _alternatives("user_id", roles.rivals.get("user", ()))
    yield key(2, "item_id", roles.item.name, _ids_of(roles.item, "item"))
    yield from _alternatives("item_id", roles.rivals.get("item", ()))
    if roles.timestamp is not None:
        yield key(2, "timestamp", roles.timestamp.name, _time_of(roles.timestamp))
    else:
        for column in _named_as_times(made):
            why = f"named like a time, but holds {_examples(column)}"
            yield key(2, "timestamp", column.name, why, off=True)
    if roles.user_is == "device" and roles.timestamp is not None:
        yield key(2, "session_gap", "30m", "a pause that begins a new session")
    elif roles.timestamp is not None and made.users is None and roles.user_is == "user":
        yield key(2, "session_gap", "30m", "to make sessions of each user's rows", off=True)
    if roles.rating is not None:
        yield key(2, "rating", roles.rating.name, _range(roles.rating))
    signals = {"event": roles.event, "click": roles.click, "strength": roles.strength}
    if named := {name: column.name for name, column in signals.items() if column is not None}:
        yield key(2, "signals", named, "outcomes that filters and `positive` may use")
    if roles.split is not None:
        yield key(2, "split", roles.split.name, ", ".join(roles.split.values.unique().sort()))
    if roles.session is not None:
        yield note(2, f"{roles.session.name} looks like sessions: as user_id, they are the users.")
    yield from _reading_lines(made.log, list(roles.taken.values()))
    if others := [column.name for column in made.others if column.name in made.log.frame.columns]:
        yield note(
            2, f"Not read: {', '.join(others)}. What tells of the item belongs to a table of"
        )
        yield note(
            2, "items; what tells of the moment can be a feature: features: {name: category}."
        )


def _named_as_times(made: Guess) -> list[Column]:
    return [c for c in made.others if set(c.words) & TIME and c.holds != "nothing"]


def _side_lines(side: SideGuess, role: str) -> Iterator[str]:
    yield key(2, "path", side.sample.path, f"{_about(side.sample)} rows")
    yield key(2, role, side.key.name, f"one row each; has {side.match:.0%} of the log's")
    used = [feature.column for feature in side.features if feature.keys is not None]
    form = _date_format(used)
    yield from _reading_lines(side.sample, [side.key, *used])
    if not side.features:
        return
    lines, anything = [], False
    for one in side.features:
        keys, why = one.keys, one.why
        if keys == {"kind": "age"} and form and one.column.time_format not in (form, "typed"):
            keys, why = None, "its dates are written in another way"
        if keys is not None and one.column.name != one.name:
            keys = {**keys, "column": one.column.name}
        anything = anything or keys is not None
        shown: Any = keys or one.likely
        value = shown["kind"] if list(shown) == ["kind"] else shown
        lines.append(key(3, one.name, value, why, off=keys is None))
    yield "    features:" if anything else "    features: {}"
    yield from lines


def _reading_lines(sample: Sample, columns: Sequence[Column]) -> Iterator[str]:
    reading = dict(sample.reading)
    if sample.is_text and any(column.decimal_comma for column in columns):
        reading["decimal"] = ","
    if form := _date_format(columns):
        reading["date_format"] = form
    if reading:
        yield "    reading:"
        yield from (key(3, name, value, _READING.get(name, "")) for name, value in reading.items())


def _date_format(columns: Sequence[Column]) -> str | None:
    forms = [column.time_format for column in columns if column.holds == "time"]
    return next((form for form in forms if form and form not in _TIMES), None)


def _alternatives(name: str, rivals: Sequence[str]) -> Iterator[str]:
    yield from (key(2, name, rival, "as likely", off=True) for rival in rivals)


def _rows(made: Guess) -> Iterator[list[str]]:
    yield ["log", made.log.path, f"{_about(made.log)} rows"]
    for role, column in made.roles.taken.items():
        what = {"user": made.roles.user_is}.get(role, role)
        yield [what, column.name, _examples(column)]
    for name, side in (("items", made.items), ("users", made.users)):
        if side is not None:
            used = [one.name for one in side.features if one.keys is not None]
            yield [
                name,
                side.sample.path,
                f"{side.key.name}; features: {', '.join(used) or 'none'}",
            ]
    yield from (["not read", path, why] for path, why in made.unused.items())


def _checks(made: Guess) -> Iterator[str]:
    roles = made.roles
    for role, rivals in roles.rivals.items():
        chosen = getattr(roles, role).name
        yield f"{role}: {chosen}, or {' or '.join(rivals)}?"
    if not made.log.named:
        yield "The log has no header: the names of its columns are guesses from their values."
    if roles.timestamp is None:
        yield "No column of times was found: the split is random."
        for column in _named_as_times(made):
            yield f"Is {column.name} a time? It holds {_examples(column)}."
    form = roles.timestamp.time_format if roles.timestamp is not None else None
    if form and form[:5] in ("%m/%d", "%d/%m"):
        yield f"Times are read as {form}: are day and month in this order?"
    for name, side in (("items", made.items), ("users", made.users)):
        if side is not None and side.match < 0.9 and side.sample.whole:
            yield f"{name}: only {side.match:.0%} of the log's ids are in {side.sample.path}."


def _about(sample: Sample) -> str:
    exact = sample.whole or sample.form == "parquet"
    return f"{sample.rows:,}" if exact else f"about {sample.rows:,}"


def _ids_of(column: Column, what: str) -> str:
    return f"{what}s: {column.distinct:,} in the sample, such as {_examples(column, 2)}"


def _examples(column: Column, count: int = 3) -> str:
    shown = column.values.unique(maintain_order=True).head(count).to_list()
    return ", ".join(str(value)[:30] for value in shown)


def _time_of(column: Column) -> str:
    form = column.time_format or ""
    return f"{_TIMES.get(form, form)}, such as {_examples(column, 1)}"


def _range(column: Column) -> str:
    number = column.number
    if number is None:
        return ""
    return f"{float(number.min()):g} to {float(number.max()):g}"  # type: ignore[arg-type]
