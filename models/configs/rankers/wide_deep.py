"""The `model` section of Wide & Deep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import PositiveInt

from towermill.models.configs.rankers.base import OneTargetConfig

if TYPE_CHECKING:
    from merlin.schema import Schema


class WideDeepConfig(OneTargetConfig):
    """Wide & Deep (Cheng et al., DLRS 2016): a linear model and dense layers, added up.

    Parameters
    ----------
    crosses
        Pairs of categories, neither of them a list, whose combinations get a weight each in the
        linear model.
    cross_buckets
        Weights of a cross: combinations are hashed to so many.

    Examples
    --------
    >>> from towermill.models.configs.rankers.wide_deep import WideDeepConfig
    >>> WideDeepConfig(crosses=[("user_group", "item_category")]).cross_buckets
    100000
    """

    kind: str = "wide_deep"
    crosses: tuple[tuple[str, str], ...] = ()
    cross_buckets: PositiveInt = 100_000

    def layers(self, schema: Schema, seed: int) -> Any:
        from towermill.models.architectures.rankers.wide_deep import wide_deep_layers

        return wide_deep_layers(schema, self, seed)
