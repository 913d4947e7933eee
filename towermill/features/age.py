"""The kind ``age``: days from a date to the interaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final

from towermill.columns import TIMESTAMP
from towermill.features.inputs import ModelInput, RawInput
from towermill.features.shared.moments import MISSING, SECONDS_A_DAY, TIME_INPUT, seconds
from towermill.features.shared.numeric import Numeric

if TYPE_CHECKING:
    import polars as pl

    from towermill.features.config import Feature

#: Of float columns, which a Python float leaves float32.
_DAY: Final = float(SECONDS_A_DAY)


class Age(Numeric):
    """Days from the column's date to the timestamp."""

    kind: ClassVar[str] = "age"
    needs_timestamp = True
    text_holds = "time"

    def cast(self, frame: pl.LazyFrame, column: str, feature: Feature, what: str) -> pl.Expr:
        """Return the dates as Datetime("us")."""
        del feature
        from towermill.features.shared.times import time_expr

        return time_expr(frame, column, what)

    def number_node(self, name: str) -> Any:
        """Return the days, by NVTabular."""
        from nvtabular import ops

        return [name] >> ops.LambdaOp(days_since, dependency=[TIMESTAMP])

    def raw_inputs(self, name: str, spec: ModelInput) -> dict[str, RawInput]:
        """Return the timestamp and the date, in seconds since 1970."""
        del spec
        return {TIMESTAMP: TIME_INPUT, name: TIME_INPUT}

    def number(self, name: str, spec: ModelInput, values: Mapping[str, Any]) -> float | None:
        """Return the days; None if one of the two is missing."""
        del spec
        moment, since = seconds(TIMESTAMP, values.get(TIMESTAMP)), seconds(name, values.get(name))
        return None if moment is None or since is None else (moment - since) / SECONDS_A_DAY

    def number_tensor(self, name: str, spec: ModelInput, tensors: Mapping[str, Any]) -> Any:
        """Return the days, in TensorFlow."""
        del spec
        import tensorflow as tf

        moment, since = tensors[TIMESTAMP], tensors[name]
        gone = (moment == MISSING) | (since == MISSING)
        days = tf.cast(moment - since, tf.float64) / SECONDS_A_DAY
        return tf.where(gone, tf.constant(float("nan"), tf.float64), days)


def days_since(column: Any, frame: Any) -> Any:
    """Return the days from `column` to the row's timestamp, as float."""
    elapsed = (frame[TIMESTAMP] - column).astype("timedelta64[s]").astype("int64")
    return elapsed.astype("float32").where(column.notna()) / _DAY
