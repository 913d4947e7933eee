"""The base class of feature kinds, and the registry that finds a kind by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from towermill.columns import HISTORY, ITEM_ID, USER_ID
from towermill.errors import DataError
from towermill.features.inputs import ModelInput, RawEncoding, RawInput
from towermill.registry import Registry

if TYPE_CHECKING:
    import polars as pl

    from towermill.features.config import Feature

#: What a feature should be to have an option that not every kind takes.
_NEEDS: Final = {
    "boundaries": "a number or an age",
    "max_length": "a list",
    "options": "of a kind that takes options of its own",
}
_OWNERS: Final = {USER_ID: USER_ID, ITEM_ID: ITEM_ID, HISTORY: ITEM_ID}


@dataclass(frozen=True)
class Fitted:
    """The statistics of one input in the fitted workflow.

    Attributes
    ----------
    name
        Of the input.
    vocabulary, values
        Path of its vocabulary in the bundle, and the values; None without a vocabulary.
    mean, std
        Training moments, if the number is standardised.
    """

    name: str
    vocabulary: str | None = None
    values: pl.Series | None = None
    mean: float | None = None
    std: float | None = None


class FeatureKind:
    """The encoding of raw values as a model's input, in NVTabular, in NumPy and in TensorFlow.

    The three encoders of a kind give the same result for the same raw values. A kind has no state.
    Most kinds extend `towermill.features.shared.categorical.Categorical` or
    `towermill.features.shared.numeric.Numeric`. A bundle is read with NumPy and PyArrow alone, so
    NVTabular, Polars and TensorFlow are imported inside the methods that use them.

    Attributes
    ----------
    kind
        Its name in recipes.
    reads
        The raw columns that it takes, in words.
    is_input
        Whether it is an input of models; a title is only shown to people.
    from_column
        Whether it is made from the raw column of its name; an hour is made from the timestamp.
    needs_timestamp
        Whether it is made from the interaction's timestamp.
    reads_text
        Whether its column in a CSV file is read as text, whatever it looks like.
    text_holds
        What its column in a CSV file holds otherwise: a ``number``, a ``time``, or a ``value``,
        which is an integer if all rows are and have no leading zeros, else text.
    raw_numbers
        Whether its raw values are numbers, which must be finite.
    shares_vocabulary
        Whether it may name another feature in `shared_with`, or be named there.
    whole_numbers
        Whether the values of its vocabulary are whole numbers, even if stored as floats.
    needs_graph
        Whether only a graph of the user's own (`features.graph`) can read it.
    takes
        Options it takes that not every kind does: `boundaries`, `max_length`, `options`.
    """

    kind: ClassVar[str]
    reads: ClassVar[str] = ""
    is_input: ClassVar[bool] = True
    from_column: ClassVar[bool] = True
    needs_timestamp: ClassVar[bool] = False
    reads_text: ClassVar[bool] = False
    text_holds: ClassVar[Literal["value", "number", "time"]] = "value"
    raw_numbers: ClassVar[bool] = False
    shares_vocabulary: ClassVar[bool] = False
    whole_numbers: ClassVar[bool] = False
    needs_graph: ClassVar[bool] = False
    takes: ClassVar[tuple[str, ...]] = ()

    def check(self, feature: Feature) -> str | None:
        """Return the problem with a feature's options as the rest of a sentence, or None."""
        if feature.freq_threshold and feature.max_size:
            return "should have `freq_threshold` or `max_size`, not both"
        for option, what in _NEEDS.items():
            if option not in self.takes and getattr(feature, option) not in (None, {}):
                return f"should be {what} to have `{option}`; it is a {feature.kind}"
        return None

    def has_vocabulary(self, feature: Feature) -> bool:
        """Return whether it ends as an id of a vocabulary; else it ends as a number."""
        raise NotImplementedError

    def cast(self, frame: pl.LazyFrame, column: str, feature: Feature, what: str) -> pl.Expr:
        """Return a raw column in the type that it is encoded from.

        Raises
        ------
        DataError
            The column, in the table called `what`, is of a type that the kind does not take.
        """
        dtype = frame.collect_schema()[column]
        found = self.expression(column, dtype, feature)
        if found is None:
            raise DataError(
                f"`{what}`: {column!r} should hold {self.reads}, as its feature kind is "
                f"{feature.kind!r}. Its type is {dtype}. Choose another kind or another column."
            )
        return found

    def expression(self, column: str, dtype: Any, feature: Feature) -> pl.Expr | None:
        """Return the cast of a column of a Polars type; None if the kind does not take the type."""
        raise NotImplementedError

    def node(self, name: str, feature: Feature) -> Any:
        """Return the NVTabular node of a feature: its number, or the value to look up.

        Functions in it are named and importable, never lambdas.
        """
        raise NotImplementedError

    def describe(self, feature: Feature, fitted: Fitted) -> RawEncoding:
        """Return how the input is made from raw values, as the bundle stores it."""
        from towermill.features.shared.vocabulary import first_unused, type_of

        edges = None if feature.boundaries is None else list(feature.boundaries)
        if feature.num_buckets:
            return taken_encoded("what its vocabulary lacks is hashed (`num_buckets`)")
        if not self.has_vocabulary(feature) or fitted.values is None:
            return RawEncoding(
                feature.kind,
                boundaries=edges,
                log=feature.log,
                mean=fitted.mean,
                std=fitted.std,
                options=feature.options,
            )
        known = "int64" if self.whole_numbers else type_of(fitted.values)
        if known is None:
            return taken_encoded(f"its values are of the type {fitted.values.dtype}")
        return RawEncoding(
            feature.kind,
            vocabulary=fitted.vocabulary,
            type=known,
            ids_of=_OWNERS.get(fitted.name) or _OWNERS.get(str(feature.shared_with)),
            missing=first_unused(fitted.values, known),
            max_length=feature.max_length,
            boundaries=edges,
            options=feature.options,
        )

    def raw_inputs(self, name: str, spec: ModelInput) -> dict[str, RawInput]:
        """Return the inputs of the query tower for raw features that this input is made from."""
        raise NotImplementedError

    def encode(
        self, name: str, spec: ModelInput, values: Mapping[str, Any], look_up: Callable[[Any], int]
    ) -> Any:
        """Return the encoded input of one row: a number, or a list of numbers.

        Parameters
        ----------
        name, spec
            The input.
        values
            Raw values of the row by name, including the timestamp; missing ones may be absent.
        look_up
            Returns the id of a value in the vocabulary, or that of unknown values.

        Raises
        ------
        BundleError
            A value is of the wrong type.
        """
        raise NotImplementedError

    def encode_tensors(
        self, name: str, spec: ModelInput, tensors: Mapping[str, Any], look_up: Callable[[Any], Any]
    ) -> Any:
        """Return the same in a TensorFlow graph: one tensor, or the values and offsets of lists.

        Parameters
        ----------
        name, spec, look_up
            As in `encode`, for tensors.
        tensors
            The inputs that `raw_inputs` names; lists as ``<name>__values`` and ``<name>__offsets``.
        """
        raise NotImplementedError


def taken_encoded(why: str) -> RawEncoding:
    """Return the encoding of an input that cannot be made from raw values."""
    return RawEncoding("encoded", why=why)


#: Feature kinds by name.
KINDS: Final = Registry[FeatureKind](
    "feature kind",
    "towermill.features",
    "towermill.features",
    "towermill.features.base:FeatureKind",
)
