"""Feature kinds as another package would write them: named in recipes as ``shop_kinds:Name``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from towermill.features.config import Feature
from towermill.features.inputs import ModelInput, RawInput
from towermill.features.number import Number
from towermill.features.shared.categorical import Categorical


class FirstLetter(Categorical):
    """The first letter of a text; empty text is missing."""

    kind: ClassVar[str] = "first_letter"
    reads_text = True

    def node(self, name: str, feature: Feature) -> Any:
        from nvtabular import ops

        return [name] >> ops.LambdaOp(first_letter)

    def raw_inputs(self, name: str, spec: ModelInput) -> dict[str, RawInput]:
        return {name: RawInput("string", list=False, missing="")}

    def value(self, name: str, spec: ModelInput, values: Mapping[str, Any]) -> Any:
        return (super().value(name, spec, values) or "")[:1] or None

    def tensor(self, name: str, spec: ModelInput, tensors: Mapping[str, Any]) -> tuple[Any, Any]:
        import tensorflow as tf

        return tf.strings.substr(tensors[name], 0, 1, unit="UTF8_CHAR"), tensors[name] == ""


def first_letter(column: Any) -> Any:
    return column.str.slice(0, 1).where(column != "")


class PriceClass(Categorical):
    """A price's order of magnitude, to the base that `options` gives."""

    kind: ClassVar[str] = "price_class"
    reads = "prices"
    raw_numbers = True
    whole_numbers = True
    takes = ("options",)

    def check(self, feature: Feature) -> str | None:
        if set(feature.options) != {"base"}:
            return f"should have the option `base`. Received: {feature.options}"
        return super().check(feature)

    def expression(self, column: str, dtype: Any, feature: Feature) -> Any:
        return Number().expression(column, dtype, feature)

    def node(self, name: str, feature: Feature) -> Any:
        from nvtabular import ops

        return [name] >> ops.LambdaOp(Magnitude(feature.options["base"]))

    def raw_inputs(self, name: str, spec: ModelInput) -> dict[str, RawInput]:
        return {name: RawInput("float64", list=False)}

    def value(self, name: str, spec: ModelInput, values: Mapping[str, Any]) -> Any:
        price = Number().number(name, spec, values)
        return None if price is None else int(np.log1p(price) // np.log(spec.raw.options["base"]))

    def tensor(self, name: str, spec: ModelInput, tensors: Mapping[str, Any]) -> tuple[Any, Any]:
        import tensorflow as tf

        magnitude = tf.math.log1p(tensors[name]) // np.log(spec.raw.options["base"])
        return tf.cast(magnitude, tf.int64), tf.math.is_nan(tensors[name])


@dataclass(frozen=True)
class Magnitude:
    base: float

    def __call__(self, column: Any) -> Any:
        return np.log1p(column.astype("float64")) // np.log(self.base)
