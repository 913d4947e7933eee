"""Records of a bundle's manifest: model inputs, and how each is made from raw values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class RawEncoding:
    """How an input is made from raw values.

    Attributes
    ----------
    kind
        Name of the feature kind in the recipe; ``encoded`` if the input cannot be made from raw
        values.
    vocabulary
        A Parquet file of the bundle; value i is encoded as i + 3. None of a number.
    type
        Of the values in the vocabulary: ``string`` or ``int64``.
    ids_of
        ``user_id`` or ``item_id``, if the vocabulary is that of an id.
    missing
        Raw value that marks a missing one in a tensor, which has no null.
    max_length
        Lists are cut to this many values.
    boundaries, log, mean, std
        For numbers: edges of intervals, or log(1 + x) and the training mean and deviation.
    why
        For ``encoded``: why it cannot be made from raw values.
    options
        Options of a kind from another package.
    """

    kind: str
    vocabulary: str | None = None
    type: str | None = None
    ids_of: str | None = None
    missing: str | int | float | None = None
    max_length: int | None = None
    boundaries: list[float] | None = None
    log: bool = False
    mean: float | None = None
    std: float | None = None
    why: str | None = None
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def from_raw(self) -> bool:
        """Whether the input can be made from raw values."""
        return self.why is None


@dataclass(frozen=True)
class ModelInput:
    """One input of a model.

    Attributes
    ----------
    dtype, list
        Type of the values, and whether a row has several: a list is passed as
        ``<name>__values`` and ``<name>__offsets``.
    ids
        Number of encoded ids; None of a number.
    raw
        How it is made from raw values.
    """

    dtype: str
    list: bool
    ids: int | None
    raw: RawEncoding


@dataclass(frozen=True)
class RawInput:
    """One input of the query tower for raw features.

    Attributes
    ----------
    dtype, list
        As in `ModelInput`.
    missing
        Value that marks a missing one; None for floats, where NaN does.
    time
        Whether it is a time, in whole seconds since 1970.
    """

    dtype: str
    list: bool
    missing: str | int | float | None = None
    time: bool = False
