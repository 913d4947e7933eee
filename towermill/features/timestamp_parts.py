"""The kinds ``hour`` and ``weekday``: parts of the interaction's timestamp, as categories."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final

from towermill.columns import TIMESTAMP
from towermill.features.inputs import ModelInput, RawInput
from towermill.features.shared.categorical import Categorical
from towermill.features.shared.moments import MISSING, SECONDS_A_DAY, TIME_INPUT, seconds

if TYPE_CHECKING:
    import polars as pl

    from towermill.features.config import Feature

_SECONDS_AN_HOUR: Final = 3600
#: 1970 began on a Thursday.
_FIRST_WEEKDAY: Final = 3


class _TimestampPart(Categorical):
    """A part of the timestamp: of a column of frames, and of seconds since 1970."""

    from_column = False
    needs_timestamp = True
    text_holds = "time"
    whole_numbers = True
    of_column: ClassVar[Callable[[Any], Any]]

    @staticmethod
    def of_seconds(moment: Any) -> Any:
        """Return the part; the same expression serves Python and TensorFlow."""
        raise NotImplementedError

    def cast(self, frame: pl.LazyFrame, column: str, feature: Feature, what: str) -> pl.Expr:
        """Return the times as Datetime("us")."""
        del feature
        from towermill.features.shared.times import time_expr

        return time_expr(frame, column, what)

    def node(self, name: str, feature: Feature) -> Any:
        """Return the part, by NVTabular."""
        del feature
        from nvtabular import ops

        return [TIMESTAMP] >> ops.LambdaOp(type(self).of_column) >> ops.Rename(name=name)

    def raw_inputs(self, name: str, spec: ModelInput) -> dict[str, RawInput]:
        """Return the timestamp, in seconds since 1970."""
        del name, spec
        return {TIMESTAMP: TIME_INPUT}

    def value(self, name: str, spec: ModelInput, values: Mapping[str, Any]) -> Any:
        """Return the part; None if the timestamp is missing."""
        del name, spec
        moment = seconds(TIMESTAMP, values.get(TIMESTAMP))
        return None if moment is None else self.of_seconds(moment)

    def tensor(self, name: str, spec: ModelInput, tensors: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return the part, and where the timestamp is missing."""
        del name, spec
        moment = tensors[TIMESTAMP]
        return self.of_seconds(moment), moment == MISSING


def hour_of_day(column: Any) -> Any:
    """Return 0 … 23."""
    return column.dt.hour


def day_of_week(column: Any) -> Any:
    """Return 0 (Monday) … 6."""
    return column.dt.weekday


class Hour(_TimestampPart):
    """The hour of the day, in UTC."""

    kind: ClassVar[str] = "hour"
    of_column = hour_of_day

    @staticmethod
    def of_seconds(moment: Any) -> Any:
        """Return 0 … 23."""
        return moment // _SECONDS_AN_HOUR % 24


class Weekday(_TimestampPart):
    """The day of the week, in UTC."""

    kind: ClassVar[str] = "weekday"
    of_column = day_of_week

    @staticmethod
    def of_seconds(moment: Any) -> Any:
        """Return 0 (Monday) … 6."""
        return (moment // SECONDS_A_DAY + _FIRST_WEEKDAY) % 7
