"""Raw features to encoded ones, as the workflow of the training made them."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Final

import numpy as np

from towermill.columns import FIRST_ID, NULL_ID, OOV_ID, TIMESTAMP
from towermill.errors import BundleError
from towermill.pipelines.bundle.tables import Batch, IdTable

SECONDS_A_DAY: Final = 86_400
SECONDS_AN_HOUR: Final = 3600
#: 1970 began on a Thursday.
FIRST_WEEKDAY: Final = 3


class RawFeatures:
    """Encodes the raw features of one query or item at a time.

    Parameters
    ----------
    path
        The bundle's folder, where the vocabularies are.
    features
        Name to ``dtype``, ``list``, ``ids``, and how it is made of a raw value (``raw``): see
        `towermill.pipelines.export.input_specs.describe_inputs`.
    tables
        ``user_id`` and ``item_id`` to their tables, which are these ids' vocabularies.
    """

    def __init__(
        self, path: Path, features: Mapping[str, Any], tables: Mapping[str, IdTable]
    ) -> None:
        self.path, self.features, self.tables = path, features, tables
        self._vocabularies: dict[str, dict[Any, int]] = {}
        self._reading = threading.Lock()

    @property
    def names(self) -> list[str]:
        """What `encode` takes: the features, and the time that some are made of."""
        kinds = {feature["raw"]["kind"] for feature in self.features.values()}
        timed = [TIMESTAMP] if kinds & {"hour", "weekday", "age"} else []
        made = [n for n, f in self.features.items() if f["raw"]["kind"] not in ("hour", "weekday")]
        return made + timed

    def load(self) -> None:
        """Read all vocabularies now, not when they are first needed."""
        for feature in self.features.values():
            if feature["raw"].get("vocabulary") and feature["raw"]["ids_of"] is None:
                self._vocabulary(feature["raw"]["vocabulary"])

    def check(self, values: Mapping[str, Any]) -> None:
        """Raise `BundleError` if a name or a type is wrong."""
        unknown = [str(name) for name in values if name not in self.names]
        if unknown:
            raise BundleError(
                f"`features` may be {', '.join(self.names)}. Received: {', '.join(unknown)}."
            )
        for name, value in values.items():
            listed = name != TIMESTAMP and self.features[name]["list"]
            many = isinstance(value, Sequence) and not isinstance(value, str | bytes)
            if value is not None and listed != many:
                what = "a list" if listed else "one value"
                raise BundleError(f"`features.{name}` should be {what}. Received: {value!r}")
        self.encode(values)

    def encode(self, values: Mapping[str, Any]) -> Batch:
        """Return one row, as the tower takes it; what is not given is missing.

        A missing category is null, one that the vocabulary lacks is unknown, a missing number is
        the mean.
        """
        batch: Batch = {}
        for name, feature in self.features.items():
            raw = feature["raw"]
            if feature["list"]:
                given = values.get(name)
                ids = [self._id(name, raw, value, OOV_ID) for value in given or ()]
                ids = ids[: raw["max_length"]] if raw.get("max_length") else ids
                batch[f"{name}__values"] = np.array(ids, feature["dtype"])
                batch[f"{name}__offsets"] = np.array([0, len(ids)], np.int32)
            else:
                encoded = self._scalar(name, raw, values)
                batch[name] = np.array([encoded], feature["dtype"])
        return batch

    def _scalar(self, name: str, raw: Mapping[str, Any], values: Mapping[str, Any]) -> float:
        kind = raw["kind"]
        if kind in ("hour", "weekday"):
            moment = seconds(TIMESTAMP, values.get(TIMESTAMP))
            if moment is None:
                return NULL_ID
            part = (
                moment // SECONDS_AN_HOUR % 24
                if kind == "hour"
                else (moment // SECONDS_A_DAY + FIRST_WEEKDAY) % 7
            )
            return self._id(name, raw, part, NULL_ID)
        if kind in ("category", "encoded"):
            return self._id(name, raw, values.get(name), NULL_ID)
        number = self._number(name, raw, values)
        if raw["boundaries"] is not None:
            if number is None:
                return NULL_ID
            return self._id(name, raw, int(np.digitize(number, raw["boundaries"])), NULL_ID)
        return standardised(number, raw)

    def _number(self, name: str, raw: Mapping[str, Any], values: Mapping[str, Any]) -> float | None:
        value = values.get(name)
        if raw["kind"] == "age":
            moment, since = seconds(TIMESTAMP, values.get(TIMESTAMP)), seconds(name, value)
            return None if moment is None or since is None else (moment - since) / SECONDS_A_DAY
        if value is None:
            return None
        if isinstance(value, bool | np.bool_ | Real):
            number = float(value)
            if math.isinf(number):
                raise BundleError(f"`features.{name}` should be finite. Received: {value!r}")
            return None if math.isnan(number) else number
        raise BundleError(f"`features.{name}` should be a number. Received: {value!r}")

    def _id(self, name: str, raw: Mapping[str, Any], value: Any, missing: int) -> float:
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return missing
        if raw["kind"] == "encoded":
            top = self.features[name]["ids"]
            if top is None and isinstance(value, Real):
                return float(value)
            if not isinstance(value, Integral) or not 0 <= int(value) < top:
                raise BundleError(
                    f"`features.{name}` should be a number, or an id from 0 to {(top or 1) - 1}: "
                    f"{raw['why']}. Received: {value!r}"
                )
            return int(value)
        if not isinstance(value, str | bool | np.bool_ | Real):
            raise BundleError(f"`features.{name}` should be text or a number. Received: {value!r}")
        if raw["ids_of"] is not None:
            row = self.tables[raw["ids_of"]].find(value)
            return OOV_ID if row is None else row + FIRST_ID
        return self._vocabulary(raw["vocabulary"]).get(_key(value, raw["type"]), OOV_ID)

    def _vocabulary(self, file: str) -> dict[Any, int]:
        with self._reading:
            if file not in self._vocabularies:
                values = read_vocabulary(self.path / file)
                self._vocabularies[file] = {v: i for i, v in enumerate(values, FIRST_ID)}
            return self._vocabularies[file]


def read_vocabulary(path: Path) -> list[Any]:
    """Return the values of a vocabulary; value i is encoded as i + 3."""
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    names = table.column_names
    stored = next(name for name in names if f"{name}_size" in names)
    values: list[Any] = table.column(stored).to_pylist()
    return values


def _key(value: Any, kind: str) -> Any:
    """Return a value as the vocabulary has it."""
    if kind == "string":
        return value if isinstance(value, str) else str(value)
    try:
        number = float(value) if isinstance(value, str) and not value.isdigit() else int(value)
    except (ValueError, OverflowError):
        return None
    return int(number) if number == value or isinstance(value, str) else float(value)


def standardised(number: float | None, raw: Mapping[str, Any]) -> float:
    """Return a number as the model takes it; one that is missing is the mean."""
    if number is None:
        return 0.0
    if raw["log"]:
        number = float(np.log(np.float32(number) + np.float32(1)))
    if raw["mean"] is not None:
        number -= raw["mean"]
        number = number / raw["std"] if raw["std"] > 0 else number
    return number if math.isfinite(number) else 0.0


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
