"""The user encoder of Fastformer."""

from __future__ import annotations

from typing import Any, ClassVar

from towermill.models.encoders.users.self_attention import UserEncoder
from towermill.models.layers.fast_attention import FastAttention


class FastformerReader(UserEncoder):
    """Fastformer's and additive attention over a reading history (Wu et al., 2021).

    Parameters
    ----------
    heads, head_dim
        See `FastAttention`.
    **options
        See `UserEncoder`.
    """

    kind: ClassVar[str] = "fastformer"

    def attention_of(self, heads: int, head_dim: int) -> Any:
        """Return the layer that mixes the articles read."""
        return FastAttention(heads, head_dim)
