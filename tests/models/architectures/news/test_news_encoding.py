"""The short cuts of encoding news change no vector."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
import tensorflow as tf

from towermill.models.architectures.news.history import NewsRetriever
from towermill.models.contracts.retriever import Retriever
from towermill.models.encoders.news.self_attention import NewsEncoder
from towermill.models.layers.packing import packing


@pytest.mark.parametrize("masked", [True, False])
def test_words_projected_once_give_what_each_of_them_gives(masked: bool) -> None:
    words = tf.keras.layers.Embedding(9, 6)
    encoder = NewsEncoder(
        words, heads=2, head_dim=4, attention_dim=5, dense=(8,), dropout=0.5, masked=masked
    )
    tokens = tf.constant([[3, 4, 3, 0], [0, 0, 0, 0], [8, 3, 0, 0]])
    found = encoder(tokens, training=False)
    packed = packing(tokens > 0 if masked else tf.ones_like(tokens, tf.bool))
    values = encoder.attention(words(packed.pack(tokens)), packed)
    for layer, normalise, _ in encoder.dense:
        values = normalise(layer(values), training=False)
    np.testing.assert_allclose(found, encoder.pooling(values, packed), rtol=1e-5, atol=1e-7)


def test_rows_come_back_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [[5, 6, 7], [], None, [8], [9, 9]]
    asked: list[list[Any]] = []

    def embed(self: Any, features: pl.DataFrame) -> Any:
        asked.append(features["tokens"].to_list())
        return features.select(pl.col("tokens").list.sum().fill_null(-1)).to_numpy()

    monkeypatch.setattr(Retriever, "embed_items", embed)
    table = pl.DataFrame({"tokens": pl.Series(texts, dtype=pl.List(pl.Int32))})
    found = NewsRetriever.embed_items(object.__new__(NewsRetriever), table)
    assert found[:, 0].tolist() == [18, 0, -1, 8, 18]
    assert [len(text or []) for text in asked[0]] == [0, 0, 1, 2, 3]
