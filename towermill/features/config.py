"""A recipe's settings of how a raw column becomes an input of a model."""

from __future__ import annotations

import keyword
import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from towermill.features.base import KINDS, FeatureKind
from towermill.section import PartName, Section


class Feature(Section):
    """Settings of how one raw column becomes a model input.

    A recipe may write the bare `kind` for the whole (``genre: category``).

    Parameters
    ----------
    kind
        ``category`` (one value), ``list`` (several categories: a list column, or text cut at
        `separator`), ``number``, ``hour``, ``weekday`` (of a timestamp column), ``age`` (days from
        this date column to the interaction) or ``title`` (carried along for people to read, never
        a model input); or a kind of another package, by its name or as ``module:Name``.
    freq_threshold
        A category seen less often in training is out of vocabulary.
    max_size
        Keep at most this many categories, the most frequent ones; 0 keeps all.
    num_buckets
        Hash values out of vocabulary into this many ids instead of one.
    shared_with
        Name of another feature whose vocabulary this one joins.
    separator
        Where a text column of kind ``list`` is cut.
    max_length
        Keep at most this many values of a list, the first ones.
    log, normalize
        Apply log(1 + x), then standardise by training mean and deviation.
    boundaries
        Turn a number into the index of its interval, which is then a category.
    options
        Options of a kind from another package.
    column
        The raw column, if its name differs; only under `source` of kind ``table``.
    """

    kind: Annotated[str, PartName(KINDS, light=True)] = "category"
    freq_threshold: int = Field(0, ge=0)
    max_size: int = Field(0, ge=0)
    num_buckets: int = Field(0, ge=0)
    shared_with: str | None = None
    separator: str = "|"
    max_length: int | None = Field(None, ge=1)
    log: bool = False
    normalize: bool = True
    boundaries: tuple[float, ...] | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    column: str | None = None

    @property
    def encoder(self) -> FeatureKind:
        """Its encoder: an instance of its kind's class."""
        return KINDS.get(self.kind)()

    @property
    def is_category(self) -> bool:
        """Whether the feature ends as an encoded id, and so has a vocabulary."""
        return self.encoder.has_vocabulary(self)


def _from_kind(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


FeatureField = Annotated[Feature, BeforeValidator(_from_kind, json_schema_input_type=str | Feature)]
#: Raw column name to its feature.
Features = dict[str, FeatureField]

#: What TensorFlow takes as a name in a graph, Python as one of an argument, and a file system as
#: one of a file; `labels` and `self` are names that Merlin and Python use themselves.
_INPUT_NAME = re.compile(
    rf"(?!(?:{'|'.join((*keyword.kwlist, 'labels', 'self'))})$)[A-Za-z](?:_?[A-Za-z0-9])*_?$"
)


def names_refused(features: Features) -> str | None:
    """Return why names cannot be those of model inputs, and names that can; None if all can.

    Examples
    --------
    >>> from towermill.features.config import Feature, names_refused
    >>> names_refused({"Listed On": Feature(kind="age")})  # doctest: +ELLIPSIS
    "the name of a model input should be of a to z, ... `listed_on: {kind: age, column: Listed On}`"
    """
    inputs = {name: feature for name, feature in features.items() if feature.encoder.is_input}
    wrong = [name for name in inputs if not _INPUT_NAME.match(name)]
    if not wrong:
        return None
    better = ", ".join(
        f"`{_plain(name)}: {{kind: {inputs[name].kind}, column: {name}}}`" for name in wrong
    )
    return (
        "the name of a model input should be of a to z, A to Z, 0 to 9 and single underscores, a "
        f"letter first, and no word of Python. Received: {', '.join(map(repr, wrong))}. Under "
        f"`source` of kind table, give another name: {better}"
    )


def _plain(name: str) -> str:
    found = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    return found if _INPUT_NAME.match(found) else "name"
