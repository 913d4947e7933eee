"""A feature kind: the region of a postcode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from towermill.features.config import Feature
from towermill.features.inputs import ModelInput, RawInput
from towermill.features.shared.categorical import Categorical


class Region(Categorical):
    """The first digits of a postcode, as many as `options.digits` says."""

    kind: ClassVar[str] = "region"
    reads = "postcodes: text"
    reads_text = True  # in a CSV file, so that leading zeros stay
    takes = ("options",)

    def check(self, feature: Feature) -> str | None:
        """Refuse options other than `digits`."""
        if set(feature.options) != {"digits"}:
            return f"should have the option `digits`. Received: {feature.options}"
        return super().check(feature)

    def node(self, name: str, feature: Feature) -> Any:
        """Return the region in NVTabular, for training."""
        from nvtabular import ops

        return [name] >> ops.LambdaOp(FirstDigits(feature.options["digits"]))

    def value(self, name: str, spec: ModelInput, values: Mapping[str, Any]) -> Any:
        """Return the region of one row, for a bundle's reader."""
        postcode = super().value(name, spec, values)
        return postcode[: spec.raw.options["digits"]] if postcode else None

    def raw_inputs(self, name: str, spec: ModelInput) -> dict[str, RawInput]:
        """Return the postcode: text, empty where it is missing."""
        return {name: RawInput("string", list=False, missing="")}

    def tensor(self, name: str, spec: ModelInput, tensors: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return the regions in TensorFlow, and where they are missing."""
        import tensorflow as tf

        postcodes = tensors[name]
        return tf.strings.substr(postcodes, 0, spec.raw.options["digits"]), postcodes == ""


@dataclass(frozen=True)
class FirstDigits:
    """Text to its first digits: named and importable, as the fitted workflow refers to it."""

    digits: int

    def __call__(self, column: Any) -> Any:
        return column.str.slice(0, self.digits).where(column != "")
