"""The layers' formulas, one position at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def softmax(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def self_attention(values: Floats, real: Any, kernel: Floats, heads: int) -> Floats:
    """Mix each real position of ``(length, dim)`` with its sequence's; zeros elsewhere."""
    width = kernel.shape[1] // 3
    dim = width // heads
    query, key, value = (values @ kernel[:, i * width : (i + 1) * width] for i in range(3))
    places = np.flatnonzero(real)
    mixed = np.zeros((len(values), width))
    for place in places:
        for head in range(heads):
            own = slice(head * dim, (head + 1) * dim)
            logits = [query[place, own] @ key[other, own] / math.sqrt(dim) for other in places]
            for weight, other in zip(softmax(np.array(logits)), places, strict=True):
                mixed[place, own] += weight * value[other, own]
    return mixed


def additive_attention(values: Floats, real: Any, weights: tuple[Floats, Floats, Floats]) -> Floats:
    """Return the weighted mean of the real positions of ``(length, dim)``."""
    kernel, bias, query = weights
    places = np.flatnonzero(real)
    if not len(places):
        return np.zeros(values.shape[1])
    logits = np.array([query[:, 0] @ np.tanh(values[p] @ kernel + bias) for p in places])
    return sum(w * values[p] for w, p in zip(softmax(logits), places, strict=True))  # type: ignore[no-any-return]


def doubles(*weights: Any) -> tuple[Floats, ...]:
    return tuple(w.numpy().astype(np.float64) for w in weights)


def pooling_weights(layer: Any) -> tuple[Floats, Floats, Floats]:
    return doubles(layer.project.kernel, layer.project.bias, layer.query)  # type: ignore[return-value]


def news_encoder(encoder: Any, tokens: Any, real: Any, categories: dict[str, int]) -> Floats:
    """Return an article's vector in inference: ``(length,)`` tokens, and their mask."""
    (table,) = doubles(encoder.words.embeddings)
    (kernel,) = doubles(encoder.attention.kernel)
    values = self_attention(table[tokens], real, kernel, encoder.attention.heads)
    for dense, norm, _ in encoder.dense:
        weight, bias = doubles(dense.kernel, dense.bias)
        gamma, beta, mean, variance = doubles(
            norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance
        )
        hidden = np.maximum(values @ weight + bias, 0)
        values = gamma * (hidden - mean) / np.sqrt(variance + norm.epsilon) + beta
    vector = additive_attention(values, real, pooling_weights(encoder.pooling))
    for name, layer in encoder.features.items():
        vector = vector + layer.embeddings.numpy()[categories[name]]
    return vector


def user_encoder(encoder: Any, vectors: Floats, real: Any) -> Floats:
    """Return a reader's vector in inference: ``(history, dim)`` vectors, and their mask."""
    (kernel,) = doubles(encoder.attention.kernel)
    values = self_attention(vectors, real, kernel, encoder.attention.heads)
    return additive_attention(values, real, pooling_weights(encoder.pooling))


def randomise(layer: Any, seed: int = 0, scale: float = 0.7) -> None:
    """Give every weight a value that shows in the result; variances stay above 0."""
    rng = np.random.default_rng(seed)
    for weight in layer.weights:
        values = rng.normal(0, scale, weight.shape)
        weight.assign(np.abs(values) + 0.5 if "variance" in weight.name else values)
