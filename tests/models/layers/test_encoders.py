"""Both encoders of NRMS against formulas of one position at a time, padding and all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from formulas import news_encoder, randomise, user_encoder

from towermill.models.encoders.news.self_attention import NewsEncoder
from towermill.models.encoders.users.self_attention import UserEncoder

WORDS, DIM = 20, 8
TOKENS = np.array([[3, 4, 5, 3, 0], [7, 0, 0, 0, 0], [0] * 5, [9, 8, 7, 6, 5], [4, 3, 0, 0, 0]])
CATEGORIES = {"category": np.array([3, 4, 3, 0, 2])}


def news(*, masked: bool = True, dense: Any = (), dropout: float = 0.3) -> NewsEncoder:
    """An encoder of one feature, whose every weight shows in the result."""
    encoder = NewsEncoder(
        tf.keras.layers.Embedding(WORDS, 6),
        heads=2,
        head_dim=4,
        attention_dim=5,
        dense=dense,
        dropout=dropout,
        masked=masked,
        features={"category": tf.keras.layers.Embedding(6, DIM)},
    )
    encode(encoder)
    randomise(encoder)
    return encoder


def encode(encoder: Any, tokens: Any = TOKENS, rows: Any = slice(None), **options: Any) -> Any:
    categories = {name: tf.constant(values[rows]) for name, values in CATEGORIES.items()}
    return encoder(tf.constant(tokens), categories, **options).numpy()


@pytest.mark.parametrize("dense", [(), (12, DIM)], ids=["plain", "dense"])
class TestNewsEncoder:
    @pytest.mark.parametrize("masked", [True, False])
    def test_equals_a_slow_formula(self, dense: Any, masked: bool, on_device: str) -> None:
        encoder = news(masked=masked, dense=dense)
        expected = [
            news_encoder(
                encoder,
                tokens,
                tokens > 0 if masked else np.ones(len(tokens), bool),
                {"category": CATEGORIES["category"][row]},
            )
            for row, tokens in enumerate(TOKENS)
        ]
        np.testing.assert_allclose(encode(encoder), expected, rtol=1e-4, atol=1e-5)

    def test_padding_changes_no_vector(self, dense: Any) -> None:
        encoder = news(dense=dense)
        whole = encode(encoder)
        wider = np.pad(TOKENS, [(0, 0), (0, 4)])
        np.testing.assert_allclose(encode(encoder, wider), whole, atol=1e-6)
        apart = np.zeros((5, 11), TOKENS.dtype)
        apart[:, ::2][:, :5] = TOKENS
        np.testing.assert_allclose(encode(encoder, apart), whole, atol=1e-6)

    def test_unmasked_reads_padding_as_a_word(self, dense: Any) -> None:
        masked, unmasked = news(dense=dense), news(masked=False, dense=dense)
        full, short = 3, 0
        np.testing.assert_allclose(encode(unmasked)[full], encode(masked)[full], rtol=1e-4)
        assert np.abs(encode(unmasked)[short] - encode(masked)[short]).max() > 0.01
        wider = encode(unmasked, np.pad(TOKENS, [(0, 0), (0, 4)]))
        assert np.abs(wider[short] - encode(unmasked)[short]).max() > 0.01

    def test_without_words_the_categories_are_left(self, dense: Any) -> None:
        encoder = news(dense=dense)
        table = encoder.features["category"].embeddings.numpy()
        np.testing.assert_allclose(encode(encoder)[2], table[3], rtol=1e-6)

    def test_statistics_are_of_real_words_alone(self, dense: Any) -> None:
        # Batch statistics, and with them the moving ones, know nothing of padding.
        found = []
        for tokens in (TOKENS, np.pad(TOKENS, [(0, 0), (0, 6)])):
            encoder = news(dense=dense, dropout=0.0)
            vectors = encode(encoder, tokens, training=True)
            found.append([vectors, *(w.numpy() for w in encoder.weights)])
        for one, other in zip(*found, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)

    def test_only_padding_leaves_gradients_and_statistics_numbers(self, dense: Any) -> None:
        encoder = news(dense=dense, dropout=0.0)
        with tf.GradientTape() as tape:
            vectors = encoder(
                tf.zeros([2, 5], tf.int32), {"category": tf.constant([3, 4])}, training=True
            )
            total = tf.reduce_sum(vectors**2)
        gradients = tape.gradient(total, encoder.trainable_variables)
        assert np.isfinite(vectors).all()
        assert all(np.isfinite(tf.convert_to_tensor(g)).all() for g in gradients if g is not None)
        assert all(np.isfinite(w).all() for w in encoder.get_weights())


HISTORIES = np.random.default_rng(2).normal(size=(4, 5, DIM)).astype(np.float32)
READ = np.array(
    [[True] * 5, [True, True, False, False, False], [False] * 5, [False, True] * 2 + [False]]
)


@pytest.fixture
def reader() -> UserEncoder:
    encoder = UserEncoder(heads=2, head_dim=4, attention_dim=5)
    encoder(tf.constant(HISTORIES), tf.constant(READ))
    randomise(encoder)
    return encoder


class TestUserEncoder:
    def test_equals_a_slow_formula(self, reader: UserEncoder, on_device: str) -> None:
        found = reader(tf.constant(HISTORIES), tf.constant(READ)).numpy()
        expected = [user_encoder(reader, h, r) for h, r in zip(HISTORIES, READ, strict=True)]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
        assert (found[2] == 0).all()

    def test_order_and_padding_of_a_history_do_not_matter(self, reader: UserEncoder) -> None:
        # Attention without positions, pooled: a history is a set.
        whole = reader(tf.constant(HISTORIES), tf.constant(READ)).numpy()
        order = [4, 2, 0, 3, 1]
        permuted = reader(tf.constant(HISTORIES[:, order]), tf.constant(READ[:, order]))
        np.testing.assert_allclose(permuted, whole, rtol=1e-5, atol=1e-6)
        vectors = np.pad(HISTORIES, [(0, 0), (0, 3), (0, 0)], constant_values=7)
        wider = reader(tf.constant(vectors), tf.constant(np.pad(READ, [(0, 0), (0, 3)])))
        np.testing.assert_allclose(wider, whole, atol=1e-6)

    def test_a_reader_of_nothing_has_gradients(self, reader: UserEncoder) -> None:
        with tf.GradientTape() as tape:
            users = reader(tf.constant(HISTORIES[:2]), tf.zeros([2, 5], tf.bool), training=True)
            total = tf.reduce_sum(users**2)
        gradients = tape.gradient(total, reader.trainable_variables)
        assert (users.numpy() == 0).all()
        assert all(np.isfinite(g).all() for g in gradients if g is not None)
