"""The kind ``encoded``: an input of a bundle that cannot be made from raw values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar

from towermill.columns import NULL_ID, OOV_ID
from towermill.errors import BundleError
from towermill.features.base import FeatureKind
from towermill.features.inputs import ModelInput, RawInput
from towermill.features.shared.categorical import is_missing

if TYPE_CHECKING:
    from towermill.features.config import Feature


class Encoded(FeatureKind):
    """Taken as the model takes it; only a bundle's manifest has this kind."""

    kind: ClassVar[str] = "encoded"

    def check(self, feature: Feature) -> str | None:
        """Refuse it in a recipe."""
        return f"should be of a kind that is made from raw values, not {feature.kind}"

    def raw_inputs(self, name: str, spec: ModelInput) -> dict[str, RawInput]:
        """Return the input itself."""
        return {name: RawInput(spec.dtype, spec.list)}

    def encode(
        self, name: str, spec: ModelInput, values: Mapping[str, Any], look_up: Callable[[Any], int]
    ) -> Any:
        """Return the given value, if it can be an encoded one."""
        del look_up
        value = values.get(name)
        if spec.list:
            return [_checked(name, spec, one, OOV_ID) for one in value or ()]
        return _checked(name, spec, value, NULL_ID)

    def encode_tensors(
        self, name: str, spec: ModelInput, tensors: Mapping[str, Any], look_up: Callable[[Any], Any]
    ) -> Any:
        """Return the given value."""
        del look_up
        if spec.list:
            return tensors[f"{name}__values"], tensors[f"{name}__offsets"]
        return tensors[name]


def _checked(name: str, spec: ModelInput, value: Any, missing: int) -> float:
    if is_missing(value):
        return missing
    if spec.ids is None and isinstance(value, Real):
        return float(value)
    if not isinstance(value, Integral) or spec.ids is None or not 0 <= int(value) < spec.ids:
        raise BundleError(
            f"`features.{name}` should be a number, or an id from 0 to {(spec.ids or 1) - 1}: "
            f"{spec.raw.why}. Received: {value!r}"
        )
    return int(value)
