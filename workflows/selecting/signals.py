"""Signals of interactions (a rating, a click, an event) and what is asked of their values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_
from typing import Annotated, Any

import numpy as np
import polars as pl
from pydantic import Field, FiniteFloat

from towermill.errors import DataError, did_you_mean

#: What a recipe asks of a signal: a number is a minimum, a list is a set of values.
Wanted = float | Annotated[list[str | int | FiniteFloat], Field(min_length=1)]
#: Values of a signal to the weights of their rows.
Weights = Annotated[
    dict[str | int | FiniteFloat, Annotated[FiniteFloat, Field(gt=0)]], Field(min_length=1)
]
#: An error lists at most this many values of a signal.
_SHOWN = 20
#: Whole numbers below this are float32 numbers too.
_EXACT = 2**24


@dataclass(frozen=True)
class Condition:
    """A signal reaches a minimum, or is one of some values. A missing signal does neither.

    Parameters
    ----------
    signal
        Its column.
    wanted
        The minimum, or the values.

    Examples
    --------
    >>> import polars as pl
    >>> from towermill.workflows.selecting.signals import Condition
    >>> condition = Condition("event", ("cart", "buy"))
    >>> print(condition)
    {event: [cart, buy]}
    >>> frame = pl.DataFrame({"event": ["view", "buy", None]})
    >>> frame.select(condition.expr())["event"].to_list()
    [False, True, None]
    """

    signal: str
    wanted: float | tuple[str | int | float, ...]

    @classmethod
    def of(cls, signal: str, wanted: Wanted) -> Condition:
        """Return the condition that a recipe asks of a signal."""
        return cls(signal, tuple(wanted) if isinstance(wanted, list) else wanted)

    @property
    def values(self) -> tuple[str | int | float, ...]:
        """The values that it allows; empty where it asks for a minimum."""
        return self.wanted if isinstance(self.wanted, tuple) else ()

    @property
    def is_text(self) -> bool:
        """Whether it asks for text."""
        return any(isinstance(value, str) for value in self.values)

    def expr(self) -> pl.Expr:
        """Return it as a Polars expression; null where the signal is missing."""
        if self.is_text:
            text = pl.col(self.signal).cast(pl.String)
            return text.is_in([str(value) for value in self.values])
        # To Polars NaN is above all numbers; here it is no value.
        number = pl.col(self.signal).cast(pl.Float64).fill_nan(None)
        if self.values:
            return number.is_in(self._spellings)
        above: pl.Expr = number >= min(self._spellings)
        return above

    @property
    def _spellings(self) -> list[Any]:
        if self.is_text:
            return list(map(str, self.values))
        wanted: Any = self.values or (self.wanted,)
        return [one for value in wanted for one in _spelled(value)]

    def mask(self, frame: Any) -> Any:
        """Return the mask of a frame's rows, of pandas (Arrow columns too) or cuDF."""
        column = frame[self.signal]
        if not self.values:
            return column >= min(self._spellings)
        return reduce(or_, (column == value for value in self._spellings))

    def can_hold(self, greatest: Any) -> bool:
        """Tell whether rows with this greatest value may have one that meets it."""
        return any(value <= greatest for value in self._spellings)

    def __str__(self) -> str:
        if not self.values:
            return f"{{{self.signal}: {self.wanted:g}}}"
        values = ", ".join(map(_written, self.values))
        return f"{{{self.signal}: [{values}]}}"


@dataclass(frozen=True)
class AllOf:
    """Row mask for `Filter`: every condition holds (pandas and cuDF)."""

    conditions: tuple[Condition, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """What it reads: of the raw data, so that it may go before the encoding."""
        return tuple(condition.signal for condition in self.conditions)

    def can_hold(self, greatest: Mapping[str, Any]) -> bool:
        """Tell whether rows with these greatest values may have one to keep."""
        return all(
            condition.signal not in greatest or condition.can_hold(greatest[condition.signal])
            for condition in self.conditions
        )

    def __call__(self, frame: Any) -> Any:
        return reduce(and_, (condition.mask(frame) for condition in self.conditions))


def conditions_of(wanted: Mapping[str, Wanted]) -> tuple[Condition, ...]:
    """Return the conditions of a recipe's key (``features.positive``, ``split.min_signal`` …)."""
    return tuple(Condition.of(signal, one) for signal, one in wanted.items())


def listed_values(weights: Mapping[str, Weights]) -> dict[str, Wanted]:
    """Return the values of signals that have weights, as a condition lists them."""
    return {signal: list(values) for signal, values in weights.items()}


def weight_expr(weights: Mapping[str, Weights]) -> pl.Expr:
    """Return the weight of a row: the product over signals of the weights of their values.

    Examples
    --------
    >>> import polars as pl
    >>> from towermill.workflows.selecting.signals import weight_expr
    >>> frame = pl.DataFrame({"event": ["view", "buy", None], "stars": [5.0, 5.0, 1.0]})
    >>> weight = weight_expr({"event": {"buy": 4}, "stars": {5: 0.5}})
    >>> frame.select(weight).to_series().to_list()
    [0.5, 2.0, 1.0]
    """
    found = pl.lit(1.0, pl.Float32)
    for condition in conditions_of(listed_values(weights)):
        for value, weight in weights[condition.signal].items():
            has = Condition(condition.signal, (value,) if not condition.is_text else (str(value),))
            found = pl.when(has.expr()).then(found * weight).otherwise(found)
    return found


def require_signals(frame: pl.LazyFrame, wanted: Mapping[str, Wanted], key: str) -> None:
    """Raise `DataError` if `frame` lacks a signal of the recipe's `key`, or has it in another type.

    A minimum, and numbers, are asked of numbers and Booleans; text is asked of text.
    """
    schema = frame.collect_schema()
    names = schema.names()
    for condition in conditions_of(wanted):
        signal = condition.signal
        if signal not in names:
            raise DataError(
                f"`{key}` names {signal!r}, which is no column of the interactions."
                f"{did_you_mean(signal, names)} Found: {', '.join(names)}."
            )
        kind = schema[signal]
        is_number = kind.is_numeric() or kind in (pl.Boolean, pl.Null)
        if kind == pl.Null or is_number != condition.is_text:
            continue
        holds = "numbers" if is_number else "text"
        hint = "a minimum, or a list of numbers" if is_number else "a list of its values, in quotes"
        raise DataError(
            f"`{key}: {condition}` should suit the signal {signal!r}, which holds {holds}. Write "
            f"{hint}."
        )


def require_values(frame: pl.LazyFrame, wanted: Mapping[str, Wanted], key: str) -> None:
    """Raise `DataError` if the recipe's `key` lists a value that a signal never has."""
    for condition in conditions_of(wanted):
        if not condition.values:
            continue
        column = pl.col(condition.signal)
        counts = frame.group_by(column).len().drop_nulls().collect(engine="streaming")
        found = counts.sort("len", condition.signal, descending=[True, False])[condition.signal]
        held = set(found.to_list())
        for value in condition.values:
            if held.intersection([str(value)] if condition.is_text else _spelled(value)):
                continue
            shown = _listed(found.to_list())
            near = did_you_mean(value, found.to_list()) if isinstance(value, str) else ""
            raise DataError(
                f"`{key}` lists {_written(value)} of {condition.signal!r}, which no interaction "
                f"has.{near} Its values are: {shown}. Correct the value, or leave it out."
            )


def _spelled(number: Any) -> tuple[float, ...]:
    """Return what equals a number: itself, and its float32 form, which columns may hold.

    The float32 number next to 3.3 is below it.
    """
    exact = float(number)
    return (exact, float(np.float32(exact))) if abs(exact) < _EXACT else (exact,)


def _listed(values: Iterable[Any]) -> str:
    written = [_written(value) for value in values]
    more = f" … ({len(written)} in all)" if len(written) > _SHOWN else ""
    return (", ".join(written[:_SHOWN]) or "none") + more


def _written(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
