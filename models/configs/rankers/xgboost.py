"""The `model` section of gradient-boosted trees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from towermill.models.configs.rankers.targets import TargetsConfig

if TYPE_CHECKING:
    from towermill.models.contracts.ranker import Ranker
    from towermill.models.data.interactions import Processed


class XGBoostConfig(TargetsConfig):
    """Gradient-boosted trees on all features (XGBoost, Chen & Guestrin, KDD 2016).

    One forest a target, by binary logistic loss. Needs the package `xgboost`; with a GPU, it
    computes there. A category is split by its encoded id, which is its rank by training frequency.

    Parameters
    ----------
    targets
        Signals of the interactions, 0 or 1, such as ``[click, conversion]``. None: what
        interactions occur, against `num_negatives` items drawn for each.
    num_negatives
        Without targets: items drawn uniformly per training row, once, with all features that the
        catalogue gives them. Items the user interacted with in training are left out.
    trees
        Maximum number of trees per forest.
    patience
        Stop after this many trees without a lower log loss on the validation split, and keep the
        trees up to the best; 0 never stops early.
    max_depth
        Splits from the root of a tree to a leaf, at most.
    learning_rate, l2, min_child_weight, subsample, colsample
        XGBoost's ``learning_rate``, ``reg_lambda``, ``min_child_weight``, ``subsample`` (rows a
        tree) and ``colsample_bytree`` (features a tree).
    max_bins
        Thresholds that are tried a feature.
    list_values
        A list becomes its length, and whether it holds each of the `list_values` most frequent
        values of its column.

    Examples
    --------
    >>> from towermill.models.configs.rankers.xgboost import XGBoostConfig
    >>> XGBoostConfig(targets=("click", "conversion"), ranks_by="conversion").target_names
    ('conversion', 'click')
    """

    contract: ClassVar[Literal["retriever", "ranker"] | None] = "ranker"
    trains: ClassVar[bool] = False

    kind: str = "xgboost"
    targets: tuple[str, ...] = ()
    num_negatives: PositiveInt = 4
    trees: PositiveInt = 500
    patience: int = Field(20, ge=0)
    max_depth: int = Field(6, ge=1, le=12)
    learning_rate: PositiveFloat = 0.1
    l2: float = Field(1.0, ge=0)
    min_child_weight: float = Field(1.0, ge=0)
    subsample: float = Field(1.0, gt=0, le=1)
    colsample: float = Field(1.0, gt=0, le=1)
    max_bins: int = Field(256, ge=2)
    list_values: int = Field(16, ge=0)

    def create(self, data: Processed, *, batch_size: int, seed: int) -> Ranker:
        from towermill.models.architectures.rankers.xgboost import build_xgboost

        return build_xgboost(data, self)

    def solve(self, model: Any, data: Processed, *, seed: int) -> None:
        from towermill.models.architectures.rankers.xgboost import solve_xgboost

        solve_xgboost(model, data, self, seed=seed)
