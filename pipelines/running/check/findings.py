"""What a check of the data finds, and how much attention it deserves."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How much attention a finding deserves; the first deserves most."""

    ALARM = "alarm"
    LOOK = "look"
    OK = "ok"


@dataclass(frozen=True)
class Finding:
    """One property of the data.

    Attributes
    ----------
    level
        Its weight.
    about
        What was looked at, such as ``rows`` or a column.
    found
        The figure, in words.
    advice
        What to do where the level is not ``ok``.
    """

    level: Level
    about: str
    found: str
    advice: str = ""

    @property
    def is_ok(self) -> bool:
        """Whether nothing has to be done."""
        return self.level is Level.OK


def graded(value: float, look: float, alarm: float) -> Level:
    """Return the level of a value that is worse the larger it is.

    Examples
    --------
    >>> [graded(value, 0.1, 0.5).value for value in (0.0, 0.2, 0.7)]
    ['ok', 'look', 'alarm']
    """
    if value >= alarm:
        return Level.ALARM
    return Level.LOOK if value >= look else Level.OK
