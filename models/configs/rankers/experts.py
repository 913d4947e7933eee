"""The keys that rankers of several targets by mixed experts share."""

from __future__ import annotations

from pydantic import Field, PositiveInt

from towermill.models.configs.rankers.base import RankerConfig
from towermill.models.configs.rankers.targets import TargetsConfig


class ExpertsConfig(TargetsConfig, RankerConfig):
    """A ranker of several targets, each with a gate that mixes experts and a tower on the mix.

    Parameters
    ----------
    targets
        Signals of the interactions, 0 or 1, such as ``[click, conversion]``.
    tower
        Widths of the dense layers of each target, over its mix of the experts.
    entire_space
        ESMM (Ma et al., SIGIR 2018): what follows the first target happens only where that does,
        so its probability is that of the first times one learned beside it, and is trained on all
        rows: pCTCVR = pCTR · pCVR.
    """

    targets: tuple[str, ...] = Field(min_length=2)
    tower: tuple[PositiveInt, ...] = Field((32,), min_length=1)
    entire_space: bool = False
