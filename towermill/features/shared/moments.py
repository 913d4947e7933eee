"""Times as whole seconds since 1970, as a bundle's encoders take them."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from numbers import Real
from typing import Any, Final

import numpy as np

from towermill.errors import BundleError
from towermill.features.inputs import RawInput

SECONDS_A_DAY: Final = 86_400
#: Marks a missing time in a tensor, which has no null.
MISSING: Final = int(np.iinfo(np.int64).min)
#: How the query tower of raw features takes a time.
TIME_INPUT: Final = RawInput("int64", list=False, missing=MISSING, time=True)


def seconds(name: str, value: Any) -> int | None:
    """Return whole seconds since 1970 of a moment: seconds, a date, a datetime, or ISO 8601 text.

    A moment without a zone is in UTC.
    """
    if value is None:
        return None
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise BundleError(
                f"`features.{name}` should be a time in ISO 8601. Received: {value!r}"
            ) from None
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    if isinstance(value, datetime):
        value = (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise BundleError(
            f"`features.{name}` should be a time: seconds since 1970, or ISO 8601 text. Received: "
            f"{value!r}"
        )
    return math.floor(float(value))
