"""The encoders of NAML, LSTUR and Fastformer against formulas of one position at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from formulas import Floats, additive_attention, doubles, pooling_weights, randomise, softmax

from towermill.models.encoders import NEWS_ENCODERS, USER_ENCODERS

WORDS, DIM = 20, 8
TOKENS = np.array([[3, 4, 5, 3, 0], [7, 0, 0, 0, 0], [0] * 5, [9, 8, 7, 6, 5], [4, 3, 0, 0, 0]])
CATEGORIES = {"category": np.array([3, 4, 3, 0, 2])}
HISTORIES = np.random.default_rng(2).normal(size=(4, 5, DIM)).astype(np.float32)
READ = np.array(
    [[True] * 5, [True, True, False, False, False], [False] * 5, [False, True] * 2 + [False]]
)


def news(kind: str, dropout: float = 0.3, **options: Any) -> Any:
    """An encoder of one feature, whose every weight shows in the result."""
    encoder = NEWS_ENCODERS.get(kind)(
        words=tf.keras.layers.Embedding(WORDS, 6),
        heads=2,
        head_dim=4,
        attention_dim=5,
        dropout=dropout,
        features={"category": tf.keras.layers.Embedding(6, DIM)},
        **options,
    )
    encode(encoder)
    randomise(encoder, scale=0.5)
    return encoder


def encode(encoder: Any, tokens: Any = TOKENS, **options: Any) -> Floats:
    categories = {name: tf.constant(values) for name, values in CATEGORIES.items()}
    found: Floats = encoder(tf.constant(tokens), categories, **options).numpy()
    return found


def reader(kind: str) -> Any:
    encoder = USER_ENCODERS.get(kind)(heads=2, head_dim=4, attention_dim=5)
    encoder(tf.constant(HISTORIES), tf.constant(READ))
    randomise(encoder, scale=0.5)
    return encoder


def dense(values: Floats, layer: Any) -> Floats:
    kernel, bias = doubles(layer.kernel, layer.bias)
    found: Floats = values @ kernel + bias
    return found


def convolution(values: Floats, layer: Any) -> Floats:
    """Return the filters' values at each position; neighbours outside are zeros."""
    kernel, bias = doubles(layer.kernel, layer.bias)
    found = []
    for place in range(len(values)):
        total = bias.copy()
        for step in (-1, 0, 1):
            if 0 <= place + step < len(values):
                total += values[place + step] @ kernel[step + 1]
        found.append(np.maximum(total, 0))
    return np.array(found).reshape(len(values), -1)


def fast_attention(values: Floats, layer: Any) -> Floats:
    """Return Fastformer's mix of ``(length, dim)``, head by head."""
    query, key = dense(values, layer.query), dense(values, layer.key)
    width = layer.head_dim

    def pooled(rows: Floats, logits: Floats) -> Floats:
        means = []
        for head in range(layer.heads):
            weights = softmax(logits[:, head] / math.sqrt(width))
            own = rows[:, head * width : (head + 1) * width]
            means.append(sum(w * row for w, row in zip(weights, own, strict=True)))
        return np.concatenate(means)

    product = key * pooled(query, dense(query, layer.of_query))
    mixed = query * pooled(product, dense(product, layer.of_key))
    return dense(mixed, layer.transform) + query


def article(encoder: Any, tokens: Any, category: int) -> Floats:
    (table,) = doubles(encoder.words.embeddings)
    words = table[tokens[tokens > 0]]
    if not len(words):
        text = np.zeros(DIM)
    else:
        of_kind = encoder.kind == "fastformer"
        values = (
            fast_attention(words, encoder.attention)
            if of_kind
            else convolution(words, encoder.convolution)
        )
        real = np.ones(len(words), bool)
        text = additive_attention(values, real, pooling_weights(encoder.pooling))
    (known,) = doubles(encoder.features["category"].embeddings)
    if encoder.kind != "views":
        return text + known[category]
    view = np.maximum(dense(known[category], encoder.of_category["category"]), 0)
    views = np.stack([text, view])
    return additive_attention(views, np.ones(2, bool), pooling_weights(encoder.over_views))


@pytest.mark.parametrize("kind", ["cnn", "views", "fastformer"])
class TestNews:
    def test_equals_a_slow_formula(self, kind: str, on_device: str) -> None:
        encoder = news(kind)
        rows = zip(TOKENS, CATEGORIES["category"], strict=True)
        expected = [article(encoder, tokens, category) for tokens, category in rows]
        np.testing.assert_allclose(encode(encoder), expected, rtol=1e-4, atol=1e-5)

    def test_padding_changes_no_vector(self, kind: str) -> None:
        encoder = news(kind)
        wider = np.pad(TOKENS, [(0, 0), (0, 4)])
        np.testing.assert_allclose(encode(encoder, wider), encode(encoder), atol=1e-6)

    def test_training_drops_and_gradients_are_numbers(self, kind: str) -> None:
        encoder = news(kind, dense=(12, DIM))
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(
                encoder(
                    tf.zeros([2, 5], tf.int32), {"category": tf.constant([3, 4])}, training=True
                )
            )
        gradients = tape.gradient(total, encoder.trainable_variables)
        assert all(np.isfinite(tf.convert_to_tensor(g)).all() for g in gradients if g is not None)
        assert np.abs(encode(encoder, training=True) - encode(encoder)).max() > 0.01


def history(encoder: Any, vectors: Floats) -> Floats:
    if not len(vectors):
        return np.zeros(DIM)
    if encoder.kind == "gru":
        return gru(vectors, encoder.states.cell)
    if encoder.kind == "fastformer":
        vectors = fast_attention(vectors, encoder.attention)
    return additive_attention(
        vectors, np.ones(len(vectors), bool), pooling_weights(encoder.pooling)
    )


def gru(vectors: Floats, cell: Any) -> Floats:
    """Return the last state: update, reset, candidate (Cho et al., 2014), as Keras resets it."""
    kernel, recurrent, bias = doubles(cell.kernel, cell.recurrent_kernel, cell.bias)
    state = np.zeros(DIM)
    for vector in vectors:
        given = np.split(vector @ kernel + bias[0], 3)
        kept = np.split(state @ recurrent + bias[1], 3)
        update, reset = (1 / (1 + np.exp(-(given[i] + kept[i]))) for i in range(2))
        candidate = np.tanh(given[2] + reset * kept[2])
        state = update * state + (1 - update) * candidate
    return state


@pytest.mark.parametrize("kind", ["additive_attention", "gru", "fastformer"])
class TestReaders:
    def test_equals_a_slow_formula(self, kind: str, on_device: str) -> None:
        encoder = reader(kind)
        found = encoder(tf.constant(HISTORIES), tf.constant(READ)).numpy()
        rows = zip(HISTORIES.astype(np.float64), READ, strict=True)
        expected = [history(encoder, vectors[read]) for vectors, read in rows]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)

    def test_only_the_recurrent_one_reads_the_order(self, kind: str) -> None:
        encoder = reader(kind)
        order = [4, 2, 0, 3, 1]
        whole = encoder(tf.constant(HISTORIES), tf.constant(READ)).numpy()
        other = encoder(tf.constant(HISTORIES[:, order]), tf.constant(READ[:, order])).numpy()
        assert np.allclose(whole, other, atol=1e-5) == (kind != "gru")

    def test_serving_equals_training_without_dropout(self, kind: str) -> None:
        encoder = reader(kind)
        calls = [
            encoder(tf.constant(HISTORIES), tf.constant(READ), training=how).numpy()
            for how in (True, False)
        ]
        np.testing.assert_allclose(*calls, rtol=1e-4, atol=1e-5)
