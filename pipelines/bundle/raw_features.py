"""Encode raw features as the training's workflow did."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from towermill.columns import FIRST_ID, OOV_ID, TIMESTAMP
from towermill.errors import BundleError, RecipeError
from towermill.features.base import KINDS, FeatureKind
from towermill.features.inputs import ModelInput
from towermill.pipelines.bundle.tables import Batch, IdTable

#: Bytes that a vocabulary may take in memory: as many, and as many times the size of its file.
_ROOM: Final = 16 << 20
_EXPANSION: Final = 64
#: Values that are read at a time.
_BATCH: Final = 4096


class RawFeatures:
    """Encodes the raw features of one query or item at a time.

    Parameters
    ----------
    path
        The bundle's folder, where the vocabularies are.
    features
        The model's inputs, by name.
    tables
        ``user_id`` and ``item_id`` to their tables, which are these ids' vocabularies.
    """

    def __init__(
        self, path: Path, features: Mapping[str, ModelInput], tables: Mapping[str, IdTable]
    ) -> None:
        self.path, self.features, self.tables = path, features, tables
        self._vocabularies: dict[str, dict[Any, int]] = {}
        self._reading = threading.Lock()

    @cached_property
    def kinds(self) -> dict[str, FeatureKind]:
        """What encodes each input."""
        return kinds_of(self.features)

    @property
    def names(self) -> list[str]:
        """The inputs of `encode`: the features, and the time that some are computed from."""
        timed = any(kind.needs_timestamp for kind in self.kinds.values())
        own = [name for name, kind in self.kinds.items() if kind.from_column]
        return own + [TIMESTAMP] * timed

    def load(self) -> None:
        """Read all vocabularies now, not when they are first needed."""
        for feature in self.features.values():
            if feature.raw.vocabulary and feature.raw.ids_of is None:
                self._vocabulary(feature.raw.vocabulary)

    def check(self, values: Mapping[str, Any]) -> None:
        """Raise `BundleError` if a name or a type is wrong."""
        unknown = [str(name) for name in values if name not in self.names]
        if unknown:
            raise BundleError(
                f"`features` may be {', '.join(self.names)}. Received: {', '.join(unknown)}."
            )
        for name, value in values.items():
            listed = name != TIMESTAMP and self.features[name].list
            many = isinstance(value, Sequence) and not isinstance(value, str | bytes)
            if value is not None and listed != many:
                what = "a list" if listed else "one value"
                raise BundleError(f"`features.{name}` should be {what}. Received: {value!r}")
        self.encode(values)

    def encode(self, values: Mapping[str, Any]) -> Batch:
        """Return one row, as the tower takes it; features not given are missing.

        A missing category is null, one that the vocabulary lacks is unknown, a missing number is
        the mean.
        """
        batch: Batch = {}
        for name, feature in self.features.items():
            look_up = partial(self._look_up, feature)
            encoded = self.kinds[name].encode(name, feature, values, look_up)
            if feature.list:
                batch[f"{name}__values"] = np.array(encoded, feature.dtype)
                batch[f"{name}__offsets"] = np.array([0, len(encoded)], np.int32)
            else:
                batch[name] = np.array([encoded], feature.dtype)
        return batch

    def encode_column(self, name: str, rows: Iterable[Mapping[str, Any]]) -> list[Any]:
        """Return one input for each row of raw values: a number, or a list of numbers."""
        kind, feature = self.kinds[name], self.features[name]
        look_up = partial(self._look_up, feature)
        return [kind.encode(name, feature, values, look_up) for values in rows]

    def _look_up(self, feature: ModelInput, value: Any) -> int:
        raw = feature.raw
        if raw.ids_of is not None:
            row = self.tables[raw.ids_of].find(value)
            added = row is not None and feature.ids is not None and row + FIRST_ID >= feature.ids
            return OOV_ID if row is None or added else row + FIRST_ID
        return self._vocabulary(str(raw.vocabulary)).get(_key(value, str(raw.type)), OOV_ID)

    def _vocabulary(self, file: str) -> dict[Any, int]:
        with self._reading:
            if file not in self._vocabularies:
                values = read_vocabulary(self.path / file)
                self._vocabularies[file] = {v: i for i, v in enumerate(values, FIRST_ID)}
            return self._vocabularies[file]


def kinds_of(features: Mapping[str, ModelInput]) -> dict[str, FeatureKind]:
    """Return what encodes each of a model's inputs.

    Raises
    ------
    BundleError
        The kind of one is of a package that is not installed.
    """
    try:
        return {name: KINDS.get(feature.raw.kind)() for name, feature in features.items()}
    except RecipeError as error:
        raise BundleError(f"Raw features of this bundle cannot be encoded here. {error}") from error


def read_vocabulary(path: Path) -> list[Any]:
    """Return the values of a vocabulary; value i is encoded as i + 3.

    Raises
    ------
    BundleError
        The file is not a vocabulary, or it expands to far more than its size.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    values: list[Any] = []
    room = _ROOM + _EXPANSION * path.stat().st_size
    try:
        file = pq.ParquetFile(path)
        names = file.schema_arrow.names
        stored = next(name for name in names if f"{name}_size" in names)
        for batch in file.iter_batches(_BATCH, columns=[stored]):
            room -= batch.nbytes
            if room < 0:
                raise BundleError(
                    f"{path} should hold distinct values; it expands to over {_EXPANSION} times "
                    "its size. Do not use this bundle: export it again."
                )
            values += batch.column(0).to_pylist()
    except (OSError, StopIteration, pa.ArrowException) as error:
        raise BundleError(
            f"{path} should be the Parquet file of a vocabulary ({error}). Export the bundle again."
        ) from error
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
