"""Types of text columns: by what the recipe makes of each, and by all rows."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import polars as pl

from towermill.errors import DataError
from towermill.features.shared.times import TIMES, best_way, text_times
from towermill.workflows.sources.reading.ids import id_of_text, is_integer_text, whole_number
from towermill.workflows.sources.reading.options import Declared, ReadingOptions

logger = logging.getLogger(__name__)

#: What a column is read for. A ``value`` is a category or anything else whose text counts: it
#: becomes an integer only if that loses nothing in any row.
Role = Literal["id", "value", "text", "number", "time"]
_ROW = "__row"
#: Of a number with a zero before its digits, which is a code rather than a number.
_CODE = r"^[+-]?0\d"
_NUMBERS = "numbers (or true and false)"


@dataclass(frozen=True)
class TypedColumns:
    """Columns in their types, and how many rows were dropped to get them."""

    frame: pl.LazyFrame
    dropped: int = 0


@dataclass(frozen=True)
class TextColumns:
    """Columns of text, and how to say where a row is from.

    Attributes
    ----------
    frame
        The columns, all String.
    what
        The table, for errors.
    options
        How the text is read.
    types
        What the recipe declares of columns: that counts before their roles.
    place
        Returns the file and line of a row, where that is known.
    """

    frame: pl.LazyFrame
    what: str
    options: ReadingOptions
    types: Mapping[str, Declared]
    place: Callable[[int], str] | None = None

    def typed(self, roles: Mapping[str, Role]) -> TypedColumns:
        """Return the columns that have a role, in their types.

        Raises
        ------
        DataError
            A value is not what its column should hold (unless such rows are dropped), or ids have
            two readings.
        """
        typed = self.replaced(roles)
        return replace(typed, frame=typed.frame.select(list(roles)))

    def replaced(self, roles: Mapping[str, Role]) -> TypedColumns:
        """Return all columns, those that have a role in their types; see `typed`."""
        found = {name: self._column(name, role) for name, role in roles.items()}
        frame, dropped = self.frame, 0
        parsed = [
            name
            for name, role in roles.items()
            if self.types.get(name) in ("integer", "number") or role in ("number", "time")
        ]
        if self.options.on_bad_row == "drop" and parsed:
            bad = pl.any_horizontal(
                pl.col(name).is_not_null() & found[name].is_null() for name in parsed
            )
            dropped = int(frame.select(bad.sum()).collect(engine="streaming").item())
            frame = frame.filter(~bad)
            if dropped:
                logger.warning(
                    "`%s`: dropped %d rows with values that their columns cannot have",
                    self.what,
                    dropped,
                )
        return TypedColumns(
            frame.with_columns(column.alias(name) for name, column in found.items()), dropped
        )

    def _column(self, name: str, role: Role) -> pl.Expr:
        declared = self.types.get(name)
        if self.frame.collect_schema()[name] != pl.String:
            to = {"text": pl.String, "integer": pl.Int64, "number": pl.Float64}
            return pl.col(name).cast(to[declared]) if declared else pl.col(name)
        if role == "id":
            return id_of_text(self.frame, name, self.what, self.options, declared)
        if declared == "text" or (declared is None and role == "text"):
            return pl.col(name)
        if declared == "integer":
            return self._checked(name, whole_number(pl.col(name)), "whole numbers")
        if declared == "number" or role == "number":
            return self._number(name)
        if role == "time":
            return self._time(name)
        return _value(self.frame, name)

    def _number(self, name: str) -> pl.Expr:
        text = pl.col(name).str.strip_chars()
        if self.options.decimal != ".":
            text = text.str.replace(self.options.decimal, ".", literal=True)
        return self._best(name, _numbers(text), _NUMBERS)

    def _time(self, name: str) -> pl.Expr:
        ways = text_times(pl.col(name), self.options.date_format)
        if self.options.date_format is None:
            ways = {"integer": pl.col(name).str.strip_chars().cast(pl.Int64, strict=False), **ways}
        form = self.options.date_format
        return self._best(name, ways, TIMES if form is None else f"times of the form {form!r}")

    def _best(self, name: str, ways: Mapping[str, pl.Expr], wanted: str) -> pl.Expr:
        """Return the first way to read a column that reads all rows, or as many as any."""
        best, left = best_way(self.frame, name, ways)
        return ways[best] if not left else self._checked(name, ways[best], wanted)

    def _checked(self, name: str, column: pl.Expr, wanted: str) -> pl.Expr:
        """Return `column`, which is null where the text `name` is not what is wanted."""
        if self.options.on_bad_row == "drop":
            return column
        bad = self.frame.with_row_index(_ROW).filter(pl.col(name).is_not_null() & column.is_null())
        first = bad.select(_ROW, name).head(1).collect(engine="streaming")
        if first.is_empty():
            return column
        count = bad.select(pl.len()).collect(engine="streaming").item()
        row, value = first.row(0)
        where = f"{self.place(row)}: " if self.place else ""
        rest = f" So do {count - 1} more rows." if count > 1 else ""
        raise DataError(
            f"{where}`{self.what}`: {name!r} should hold {wanted}. Received: {value!r}.{rest} "
            f"{self._advice(name, value, wanted)}"
        )

    def _advice(self, name: str, value: str, wanted: str) -> str:
        ways = [f"`source.null_values: [{value}]` if it marks a missing value"]
        if wanted == _NUMBERS:
            ways.append(
                "`source.decimal` if that is another sign than "
                f"{self.options.decimal!r}, or another feature kind"
            )
            ways.append(f"`source.types: {{{name}: text}}` if it is a signal that holds text")
        elif wanted.startswith(("integers", "times")):
            ways.append("`source.date_format` if all are of another form")
        return f"Mend the rows, or set {', '.join(ways)}, or `source.on_bad_row: drop`."


def _numbers(text: pl.Expr) -> dict[str, pl.Expr]:
    """Return the ways to read text as numbers or Booleans."""
    lower = text.str.to_lowercase()
    return {
        "integer": text.cast(pl.Int64, strict=False),
        "float": text.cast(pl.Float64, strict=False),
        "boolean": pl.when(lower == "true").then(True).when(lower == "false").then(False),
    }


def _value(frame: pl.LazyFrame, name: str) -> pl.Expr:
    """Return integers if all values are integers to the letter, so that nothing is lost."""
    same = pl.col(name).is_null() | is_integer_text(pl.col(name))
    whole = same.all() & (pl.col(name).count() > 0)
    # Most text shows in its first rows.
    is_whole = all(
        part.select(whole).collect(engine="streaming").item()
        for part in (frame.filter(pl.col(name).is_not_null()).head(1), frame)
    )
    return pl.col(name).cast(pl.Int64) if is_whole else pl.col(name)


def inferred(frame: pl.LazyFrame, text: Sequence[str]) -> pl.LazyFrame:
    """Return columns as integers, numbers or Booleans where all rows are, else as text.

    Parameters
    ----------
    text
        Columns that stay text.
    """
    columns = []
    for name in frame.collect_schema().names():
        ways = _numbers(pl.col(name).str.strip_chars())
        codes = frame.select(pl.col(name).str.contains(_CODE).any() | (pl.col(name).count() == 0))
        if name in text or codes.collect(engine="streaming").item():
            columns.append(pl.col(name))
            continue
        best, left = best_way(frame, name, ways)
        columns.append(pl.col(name) if left else ways[best].alias(name))
    return frame.select(columns)
