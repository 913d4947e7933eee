"""The `model` section of DeepFM."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from towermill.models.configs.rankers.base import OneTargetConfig

if TYPE_CHECKING:
    from merlin.schema import Schema


class DeepFMConfig(OneTargetConfig):
    """DeepFM (Guo et al., IJCAI 2017): a factorization machine and dense layers, added up.

    Both are on the same embeddings. The factorization machine (Rendle, ICDM 2010) has a weight for
    each value and the dot products of all pairs of embeddings; numbers have a weight only.

    Examples
    --------
    >>> from towermill.models.configs.rankers.deepfm import DeepFMConfig
    >>> DeepFMConfig(embedding_dim=8).mlp
    (128, 64)
    """

    kind: str = "deepfm"

    def layers(self, schema: Schema, seed: int) -> Any:
        from towermill.models.architectures.rankers.deepfm import deepfm_layers

        return deepfm_layers(schema, self, seed)
