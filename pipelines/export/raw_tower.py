"""The query tower for raw features: the id lookup stands inside the graph."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import tensorflow as tf

from towermill.columns import FIRST_ID, ITEM_ID, NULL_ID, OOV_ID, TIMESTAMP, USER_ID
from towermill.pipelines.bundle.manifest import ITEMS, USERS
from towermill.pipelines.bundle.raw_features import (
    FIRST_WEEKDAY,
    SECONDS_A_DAY,
    SECONDS_AN_HOUR,
    read_vocabulary,
)
from towermill.pipelines.bundle.tables import IdTable

#: What stands for a missing whole number.
MISSING: Final = int(np.iinfo(np.int64).min)
_TIMED: Final = ("hour", "weekday", "age")


def raw_inputs(features: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return name to ``dtype``, ``list`` and ``missing`` of what the raw tower takes.

    Text and whole numbers as they come; a number is float64; ``timestamp`` and a date are seconds
    since 1970, int64. What cannot be made of a raw value is taken encoded. ``missing`` is the value
    that stands for none; of float64 it is NaN.
    """
    inputs: dict[str, dict[str, Any]] = {}
    for name, feature in features.items():
        raw, listed = feature["raw"], feature["list"]
        if raw["kind"] in _TIMED:
            inputs[TIMESTAMP] = {"dtype": "int64", "list": False, "missing": MISSING}
        if raw["kind"] in ("hour", "weekday"):
            continue
        dtypes = {"category": raw.get("type"), "number": "float64", "age": "int64"}
        dtype = dtypes.get(raw["kind"], feature["dtype"])
        by_kind = {"category": raw.get("missing"), "age": MISSING}
        missing = by_kind.get(raw["kind"])
        inputs[name] = {"dtype": dtype, "list": listed, "missing": missing}
    return inputs


class RawTower(tf.Module):  # type: ignore[misc]
    """A query tower behind the encoding of its features.

    Parameters
    ----------
    tower
        Encoded features to embeddings.
    features
        As `towermill.pipelines.export.input_specs.describe_inputs` tells them.
    bundle
        The folder with the vocabularies and the tables of ids.
    """

    def __init__(self, tower: Any, features: Mapping[str, Any], bundle: Path) -> None:
        super().__init__()
        self.weights = tower.variables
        self._tower, self._features = _Hidden(tower), _Hidden(dict(features))
        # Kept, so that the SavedModel holds them.
        self.tables: dict[str, Any] = {}
        for name, feature in features.items():
            if feature["raw"].get("vocabulary") or feature["raw"].get("ids_of"):
                self.tables[name] = _table(feature["raw"], bundle)

    def save(self, path: Path) -> None:
        """Write it as a SavedModel with the one signature ``serving_default``."""
        specs: dict[str, tf.TensorSpec] = {}
        for name, told in raw_inputs(self._features.value).items():
            if told["list"]:
                values, offsets = f"{name}__values", f"{name}__offsets"
                specs[values] = tf.TensorSpec([None], told["dtype"], name=values)
                specs[offsets] = tf.TensorSpec([None], tf.int32, name=offsets)
            else:
                specs[name] = tf.TensorSpec([None], told["dtype"], name=name)

        @tf.function  # type: ignore[untyped-decorator]
        def serve(**raw: tf.Tensor) -> dict[str, tf.Tensor]:
            embedding = self._tower.value(self.encode(raw), training=False)
            return {"embedding": tf.cast(embedding, tf.float32)}

        tf.saved_model.save(self, str(path), signatures=serve.get_concrete_function(**specs))

    def encode(self, raw: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Return the encoded features of raw ones."""
        encoded: dict[str, tf.Tensor] = {}
        for name, feature in self._features.value.items():
            told = feature["raw"]
            if feature["list"]:
                values, offsets = raw[f"{name}__values"], raw[f"{name}__offsets"]
                if told["kind"] != "encoded":
                    values = self._ids(name, values)
                    values, offsets = _first(values, offsets, told["max_length"])
                encoded[f"{name}__values"], encoded[f"{name}__offsets"] = values, offsets
            else:
                encoded[name] = tf.cast(self._scalar(name, told, raw), feature["dtype"])
        return encoded

    def _scalar(self, name: str, told: Any, raw: Mapping[str, tf.Tensor]) -> tf.Tensor:
        kind = told["kind"]
        if kind == "encoded":
            return raw[name]
        if kind == "category":
            return tf.where(self._missing(name, raw[name]), NULL_ID, self._ids(name, raw[name]))
        if kind in ("hour", "weekday"):
            moment = raw[TIMESTAMP]
            part = (
                moment // SECONDS_AN_HOUR % 24
                if kind == "hour"
                else (moment // SECONDS_A_DAY + FIRST_WEEKDAY) % 7
            )
            return tf.where(moment == MISSING, NULL_ID, self._ids(name, part))
        number = raw[name]
        if kind == "age":
            gone = (raw[TIMESTAMP] == MISSING) | (number == MISSING)
            days = tf.cast(raw[TIMESTAMP] - number, tf.float64) / SECONDS_A_DAY
            number = tf.where(gone, tf.constant(np.nan, tf.float64), days)
        missing = tf.math.is_nan(number)
        if told["boundaries"] is not None:
            edges = tf.constant(told["boundaries"], tf.float64)
            interval = tf.searchsorted(edges, tf.where(missing, edges[:1], number), side="right")
            return tf.where(missing, NULL_ID, self._ids(name, tf.cast(interval, tf.int64)))
        return _standardised(number, missing, told)

    def _ids(self, name: str, values: tf.Tensor) -> tf.Tensor:
        return self.tables[name].lookup(values)

    def _missing(self, name: str, values: tf.Tensor) -> tf.Tensor:
        """Tell where a value stands for none."""
        return values == tf.constant(
            raw_inputs(self._features.value)[name]["missing"], values.dtype
        )


class _Hidden:
    """Keeps a value out of what TensorFlow tracks.

    It would change dicts, and could load what is saved only with Keras' and Merlin's objects.
    """

    def __init__(self, value: Any) -> None:
        self.value = value


def _table(told: Mapping[str, Any], bundle: Path) -> Any:
    values = _values(told, bundle)
    if told["type"] == "int64":
        values = [int(value) for value in values]
    dtype = tf.string if told["type"] == "string" else tf.int64
    ids = np.arange(FIRST_ID, FIRST_ID + len(values), dtype=np.int32)
    return tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(tf.constant(values, dtype), tf.constant(ids)), OOV_ID
    )


def _values(told: Mapping[str, Any], bundle: Path) -> list[Any]:
    if told["ids_of"] is None:
        return read_vocabulary(bundle / told["vocabulary"])
    table = {USER_ID: USERS, ITEM_ID: ITEMS}[told["ids_of"]]
    values: list[Any] = IdTable(bundle / table, told["ids_of"]).raw(told["ids_of"]).to_pylist()
    return values


def _first(
    values: tf.Tensor, offsets: tf.Tensor, length: int | None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return lists cut to their first `length` values."""
    if not length:
        return values, offsets
    lengths = offsets[1:] - offsets[:-1]
    owners = tf.repeat(offsets[:-1], lengths)
    kept = tf.range(tf.size(values)) - owners < length
    ends = tf.cumsum(tf.minimum(lengths, length))
    return tf.boolean_mask(values, kept), tf.concat([[0], ends], 0)


def _standardised(number: tf.Tensor, missing: tf.Tensor, told: Mapping[str, Any]) -> tf.Tensor:
    if told["log"]:
        number = tf.cast(tf.math.log(tf.cast(number, tf.float32) + 1.0), tf.float64)
    if told["mean"] is not None:
        number -= told["mean"]
        number = number / told["std"] if told["std"] > 0 else number
    return tf.where(missing | ~tf.math.is_finite(number), tf.zeros_like(number), number)
