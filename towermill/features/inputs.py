"""The inputs of a bundle's models, and how each is made of raw values, as the manifest has it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class RawEncoding:
    """How an input is made of raw values.

    Attributes
    ----------
    kind
        That of the feature, as the recipe names it; ``encoded`` if it cannot be made of raw values.
    vocabulary
        A Parquet file of the bundle; value i is encoded as i + 3. None of a number.
    type
        Of the values in the vocabulary: ``string`` or ``int64``.
    ids_of
        ``user_id`` or ``item_id``, if the vocabulary is that of an id.
    missing
        The raw value that stands for none where a null cannot, such as in a tensor.
    max_length
        Lists are cut to so many values.
    boundaries, log, mean, std
        Of numbers: intervals, or log(1 + x) and then the mean and deviation of the training.
    why
        Of ``encoded``: why it cannot be made of raw values.
    options
        Those of a kind from another package.
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
        """Whether the input can be made of raw values."""
        return self.why is None


@dataclass(frozen=True)
class ModelInput:
    """What a model takes.

    Attributes
    ----------
    dtype, list
        Type of the values, and whether there are several a row: these are passed as
        ``<name>__values`` and ``<name>__offsets``.
    ids
        Number of encoded ids; None of a number.
    raw
        How it is made of raw values.
    """

    dtype: str
    list: bool
    ids: int | None
    raw: RawEncoding


@dataclass(frozen=True)
class RawInput:
    """What the query tower of raw features takes.

    Attributes
    ----------
    dtype, list
        As of `ModelInput`.
    missing
        The value that stands for none; None of a float, where NaN does.
    time
        Whether it is a time, in whole seconds since 1970.
    """

    dtype: str
    list: bool
    missing: str | int | float | None = None
    time: bool = False
