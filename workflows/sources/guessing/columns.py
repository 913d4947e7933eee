"""The profile of a column: what its values are, whatever its name."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

import polars as pl

from towermill.features.shared.times import text_times
from towermill.workflows.sources.guessing.names import TIME, is_id, words_of

Holds = Literal["integer", "number", "time", "text", "list", "boolean", "nothing"]

#: Times that are no ISO 8601. Of two that read all values, the first counts.
_TIME_FORMATS: Final = (
    "%Y-%m-%d %H:%M:%S UTC",
    "%Y-%m-%d %H:%M:%S%.f UTC",
    *(f"%d.%m.%Y{clock}" for clock in ("", " %H:%M", " %H:%M:%S")),
    *(f"%m/%d/%Y{clock}" for clock in ("", " %H:%M", " %H:%M:%S", " %I:%M:%S %p", " %I:%M %p")),
    *(f"%d/%m/%Y{clock}" for clock in ("", " %H:%M", " %H:%M:%S")),
    *(f"%d-%m-%Y{clock}" for clock in ("", " %H:%M", " %H:%M:%S")),
    *(f"%Y/%m/%d{clock}" for clock in ("", " %H:%M", " %H:%M:%S")),
    "%d.%m.%y",
    "%d-%b-%Y",
    "%d %b %Y",
    "%b %d, %Y",
    "%B %d, %Y",
    "%m %d, %Y",
    "%Y%m%d",
    "%a %b %d %H:%M:%S %z %Y",
    "%d/%b/%Y:%H:%M:%S %z",
)
#: 1995 to 2035, in seconds; times in integers before or after are taken for ids.
_FIRST, _LAST = 788_918_400, 2_051_222_400
_UNITS = (1, 10**3, 10**6, 10**9)
#: Values that are looked at before all are.
_FEW = 200
_LIST_SEPARATORS = ("|", ", ", ",", ";", " / ", "/")


@dataclass(frozen=True)
class Column:
    """A column of a sample.

    Attributes
    ----------
    name
        Its name in the file.
    series
        Its values, nulls among them.

    Examples
    --------
    >>> import polars as pl
    >>> Column("Datum", pl.Series(["31.05.2024", "01.06.2024"])).time_format
    '%d.%m.%Y'
    >>> Column("price", pl.Series(["1,50", "2"])).decimal_comma
    True
    >>> Column("tags", pl.Series(["a|b", "b", "a|c", "c"])).list_separator
    '|'
    """

    name: str
    series: pl.Series

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The words of its name."""
        return words_of(self.name)

    @cached_property
    def values(self) -> pl.Series:
        """The values that are not missing."""
        return self.series.drop_nulls()

    @cached_property
    def distinct(self) -> int:
        """Number of distinct values."""
        return 0 if self.holds == "list" else int(self.values.n_unique())

    @property
    def missing(self) -> float:
        """Share of missing values."""
        return 1 - self.values.len() / self.series.len() if self.series.len() else 1.0

    @property
    def is_unique(self) -> bool:
        """Whether no value is missing or occurs twice."""
        return 1 < self.distinct == self.series.len()

    @property
    def is_text(self) -> bool:
        """Whether the raw values are text."""
        return self.series.dtype == pl.String

    @cached_property
    def _number(self) -> tuple[pl.Series | None, bool]:
        """The values as numbers, if they are, and whether they have decimal commas."""
        kind = self.series.dtype
        if kind.is_numeric():
            return self.values.cast(pl.Float64), False
        if not self.is_text or not self.values.len():
            return None, False
        text = self.values.str.strip_chars()
        # A zero before the digits is that of a code.
        if text.str.contains(r"^[+-]?0\d").any():
            return None, False
        for decimal_comma in (False, True):
            plain = text.str.replace(",", ".", literal=True) if decimal_comma else text
            if plain.head(_FEW).cast(pl.Float64, strict=False).null_count() == 0:
                number = plain.cast(pl.Float64, strict=False)
                if number.null_count() == 0:
                    return number, decimal_comma
        return None, False

    @property
    def number(self) -> pl.Series | None:
        """The values as numbers, if all are."""
        return self._number[0]

    @property
    def decimal_comma(self) -> bool:
        """Whether the values are numbers with decimal commas."""
        return self._number[1]

    @cached_property
    def time_format(self) -> str | None:
        """How times are written: ``epoch``, ``iso``, ``typed`` (no text), or as of `strptime`."""
        if self.series.dtype.is_temporal():
            return "typed" if self.series.dtype in (pl.Date, pl.Datetime) else None
        number = self.number
        if number is not None:
            if self._is_epoch(number):
                return "epoch"
            days = self.values.cast(pl.String).str.contains(r"^(19|20)\d\d[01]\d[0-3]\d$").all()
            named = bool(set(self.words) & TIME)
            return "%Y%m%d" if self.is_text and days and named else None
        if not self.is_text or not self.values.len():
            return None
        few = self.values.head(_FEW)
        if _reads(few, None) and _reads(self.values, None):
            return "iso"
        return next(
            (form for form in _TIME_FORMATS if _reads(few, form) and _reads(self.values, form)),
            None,
        )

    @cached_property
    def seconds(self) -> pl.Series | None:
        """The times in seconds since 1970, null where one is missing; None of other columns."""
        form = self.time_format
        if form is None:
            return None
        if form == "epoch":
            number = self.series.cast(pl.Float64, strict=False)
            unit = next(u for u in reversed(_UNITS) if float(number.max()) >= _FIRST * u)  # type: ignore[arg-type]
            return number / unit
        frame = pl.DataFrame({"time": self.series})
        time = pl.col("time")
        if form != "typed":
            time = list(text_times(time, None if form == "iso" else form).values())[-1]
        return frame.select(time.cast(pl.Datetime("us")).dt.epoch("s")).to_series().cast(pl.Float64)

    def _is_epoch(self, number: pl.Series) -> bool:
        if self.is_text and self.values.str.contains("[.,eE]").any():
            return False
        if self.series.dtype.is_float() or not (number == number.round()).all():
            return False
        low, high = float(number.min() or 0), float(number.max() or 0)  # type: ignore[arg-type]
        return any(_FIRST * unit <= low and high <= _LAST * unit for unit in _UNITS)

    @cached_property
    def holds(self) -> Holds:
        """What the values are."""
        kind = self.series.dtype
        if isinstance(kind, pl.List | pl.Array):
            return "list"
        if not self.values.len():
            return "nothing"
        if kind == pl.Boolean:
            return "boolean"
        if self.time_format is not None and (self.time_format != "epoch" or not is_id(self.words)):
            return "time"
        number = self.number
        if number is None:
            lower = set(self.values.head(_FEW).cast(pl.String).str.to_lowercase())
            return "boolean" if lower <= {"true", "false"} else "text"
        whole = bool((number == number.round()).all())
        return "integer" if whole and not self.decimal_comma else "number"

    @property
    def has_points(self) -> bool:
        """Whether whole numbers are written with a point, as ``12.0``."""
        return self.is_text and self.holds == "integer" and self.values.str.contains(r"\.").any()

    @cached_property
    def length(self) -> float:
        """Mean number of characters of a value of text."""
        mean = self.values.str.len_chars().mean() if self.is_text else None
        return float(mean or 0)  # type: ignore[arg-type]

    @cached_property
    def list_separator(self) -> str | None:
        """What separates several values in each text, if something does.

        The parts must be short, and far fewer than the texts that they make up.
        """
        if self.holds != "text" or not self.values.len():
            return None
        for separator in _LIST_SEPARATORS:
            cut = self.values.filter(self.values.str.contains(separator, literal=True))
            if cut.len() < 0.1 * self.values.len() or cut.len() < 2:
                continue
            parts = self.values.str.split(separator).explode().str.strip_chars()
            if (parts.str.len_chars().mean() or 0) > 25:  # type: ignore[operator]
                continue
            if parts.n_unique() <= max(0.5 * parts.len(), 3):
                return separator
        return None


def _reads(text: pl.Series, form: str | None) -> bool:
    frame = pl.DataFrame({"text": text})
    ways = text_times(pl.col("text"), form)
    try:
        return bool(frame.select(list(ways.values())[-1].is_not_null().all().alias("all")).item())
    except pl.exceptions.PolarsError:
        return False
