"""Memory-mapped tables of a bundle, which read single rows by raw id."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from numbers import Integral
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from towermill.columns import FIRST_ID, ITEM_ID, OOV_ID, RAW_PREFIX, USER_ID
from towermill.errors import BundleError
from towermill.features.inputs import ModelInput

#: The column that says in which order the rows are those of ascending raw ids.
BY_ID: Final = "by_id"
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,20}", re.ASCII)

#: Feature name to values, as the towers take them; a list is stored as ``<name>__values`` and
#: ``<name>__offsets``.
Batch = dict[str, NDArray[Any]]


def open_arrow(path: Path) -> pa.RecordBatch:
    """Return the one batch of an Arrow file, mapped into memory.

    Raises
    ------
    BundleError
        It is not such a file.
    """
    try:
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
        if reader.num_record_batches != 1:
            raise pa.ArrowInvalid(f"{reader.num_record_batches} record batches")
        return reader.get_batch(0)
    except (OSError, pa.ArrowException) as error:
        raise BundleError(
            f"{path} should be an Arrow file of one record batch ({error}). Export the bundle "
            "again."
        ) from error


def to_batch(
    table: pa.RecordBatch | pa.Table,
    features: Mapping[str, ModelInput],
    rows: NDArray[np.int64] | None,
) -> Batch:
    """Return encoded rows as the towers take them.

    Parameters
    ----------
    table
        Has a column each of `features`.
    features
        A tower's inputs, by name. Ids of items added after training are out of its vocabulary.
    rows
        Which; None takes all.
    """
    taken = None if rows is None else pa.array(rows)
    batch: Batch = {}
    for name, feature in features.items():
        column = table.column(name)
        column = column if taken is None else column.take(taken)
        if isinstance(column, pa.ChunkedArray):
            column = column.combine_chunks()
        if feature.list:
            lengths = column.value_lengths().fill_null(0)
            offsets = np.concatenate([[0], np.cumsum(lengths.to_numpy(zero_copy_only=False))])
            # For a slice or a take, `flatten` gives only the values of its rows.
            values = column.flatten().to_numpy(zero_copy_only=False)
            batch[f"{name}__values"] = _within(values.astype(feature.dtype, copy=False), feature)
            batch[f"{name}__offsets"] = offsets.astype(np.int32)
        else:
            values = column.to_numpy(zero_copy_only=False)
            batch[name] = _within(values.astype(feature.dtype, copy=False), feature)
    return batch


def _within(values: NDArray[Any], feature: ModelInput) -> NDArray[Any]:
    """Return encoded ids as out of vocabulary where they came after training."""
    if feature.ids is None or values.max(initial=0) < feature.ids:
        return values
    return np.where(values < feature.ids, values, OOV_ID).astype(values.dtype)


class IdTable:
    """A table of one row an id; row i is the id that is encoded as i + 3.

    Parameters
    ----------
    path
        An Arrow file with the raw ids, other raw columns as ``raw_<name>``, encoded ones, and the
        rows by ascending raw id (`BY_ID`).
    key
        Name of the id.

    Raises
    ------
    BundleError
        The file is not such a table.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.data, self.key = open_arrow(path), key
        missing = {RAW_PREFIX + key, BY_ID} - set(self.data.schema.names)
        if missing:
            raise BundleError(
                f"{path} should have the columns {', '.join(sorted(missing))}. Export the bundle "
                "again."
            )
        self._raw = [n for n in self.data.schema.names if n.startswith(RAW_PREFIX)]
        ids = self.data.column(RAW_PREFIX + key)
        numbers = pa.types.is_integer(ids.type)
        self._numbers: NDArray[Any] = ids.to_numpy() if numbers else np.zeros(0, np.int64)
        self._texts = None if numbers else _Texts(ids)
        self._order = self.data.column(BY_ID).to_numpy()

    def __len__(self) -> int:
        return int(self.data.num_rows)

    @property
    def columns(self) -> list[str]:
        """Names of the raw columns."""
        return [name.removeprefix(RAW_PREFIX) for name in self._raw]

    def raw(self, name: str) -> pa.Array:
        """Return a raw column."""
        return self.data.column(RAW_PREFIX + name)

    def rows(self, rows: Sequence[int] | NDArray[np.int64]) -> list[dict[str, Any]]:
        """Return the raw values of some rows."""
        # A value at a time: to take a few rows at once costs Arrow more.
        columns = [
            [column[row].as_py() for row in rows] for column in map(self.data.column, self._raw)
        ]
        names = self.columns
        return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]

    def batch(self, features: Mapping[str, ModelInput], rows: NDArray[np.int64]) -> Batch:
        """Return the encoded features of some rows; those that the table lacks are not given."""
        held = {n: f for n, f in features.items() if n in self.data.schema.names}
        return to_batch(self.data, held, rows)

    def find(self, raw: Any) -> int | None:
        """Return the row of a raw id, given as itself or as text; None if it is not known."""
        if isinstance(raw, bool) or not isinstance(raw, str | Integral):
            # Casting anything but a whole number could give another item's id.
            if not (isinstance(raw, float) and raw.is_integer()):
                return None
            raw = int(raw)
        if self._texts is not None:
            return self._texts.find(str(raw), self._order)
        if isinstance(raw, str) and not _WHOLE_NUMBER.fullmatch(raw):
            return None
        numbers, wanted = self._numbers, int(raw)
        limits = np.iinfo(numbers.dtype)
        if not limits.min <= wanted <= limits.max:
            return None
        place = np.searchsorted(numbers, numbers.dtype.type(wanted), sorter=self._order)
        if place < len(numbers) and numbers[self._order[place]] == wanted:
            return int(self._order[place])
        return None

    def find_all(self, raw: Sequence[Any]) -> NDArray[np.int64]:
        """Return the rows of those raw ids that are known, in the order given."""
        found = (self.find(one) for one in raw)
        return np.array([row for row in found if row is not None], np.int64)


class _Texts:
    """Text ids, compared as UTF-8 bytes where they lie."""

    def __init__(self, ids: pa.Array) -> None:
        ids = ids if pa.types.is_large_string(ids.type) else ids.cast(pa.large_string())
        _, offsets, data = ids.buffers()
        self._offsets = np.frombuffer(offsets, np.int64)[ids.offset : ids.offset + len(ids) + 1]
        self._data = memoryview(data) if data is not None else memoryview(b"")

    def find(self, text: str, order: NDArray[np.int64]) -> int | None:
        wanted = text.encode("utf-8", "surrogatepass")
        low, high = 0, len(order)
        while low < high:
            middle = (low + high) // 2
            found = self._at(int(order[middle]))
            if found == wanted:
                return int(order[middle])
            if found < wanted:
                low = middle + 1
            else:
                high = middle
        return None

    def _at(self, row: int) -> bytes:
        return bytes(self._data[int(self._offsets[row]) : int(self._offsets[row + 1])])


class SeenTable:
    """The items that each user has seen.

    Parameters
    ----------
    path
        An Arrow file: ``user_id`` (encoded, ascending) and ``item_id`` (lists of encoded ids).
    """

    def __init__(self, path: Path) -> None:
        self.data = open_arrow(path)

    @cached_property
    def _users(self) -> NDArray[np.int32]:
        users: NDArray[np.int32] = self.data.column(USER_ID).to_numpy()
        return users

    def of(self, row: int) -> NDArray[np.int64]:
        """Return the rows of the items that the user of a row has seen."""
        place = int(np.searchsorted(self._users, np.int32(row + FIRST_ID)))
        if place == len(self._users) or self._users[place] != row + FIRST_ID:
            return np.zeros(0, np.int64)
        items = self.data.column(ITEM_ID)[place].values.to_numpy()
        met: NDArray[np.int64] = items.astype(np.int64) - FIRST_ID
        return met
