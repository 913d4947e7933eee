"""NRMS by the plain recipe that people use today: what ours is measured against.

    .venv/bin/python benchmarks/parts/nrms_plain.py [--rows 512] [--impressions 200] [--repeat 3]
        [--json runs/nrms_plain.json]

Wu et al., EMNLP-IJCNLP 2019, "Neural news recommendation with multi-head self-attention", with the
dense layers that public EB-NeRD recipes put into its news encoder. Plain means: every title of
every row is encoded anew wherever it stands, padding is not masked, and the scorer is called once
an impression, the history repeated for each article. The attention itself is as in the paper.

As a script, times training and scoring on made data of the published sizes. Other benchmarks import
`PlainNRMS`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")  # read when TensorFlow is first imported
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
from rich.console import Console

keras = tf.keras


@dataclass(frozen=True)
class Sizes:
    """What EB-NeRD's public recipe sets, and the rate of its optimizer."""

    title_size: int = 30
    history_size: int = 20
    heads: int = 20
    head_dim: int = 20
    attention_dim: int = 200
    dense: tuple[int, ...] = (400, 400, 400)
    dropout: float = 0.2
    word_dim: int = 300
    learning_rate: float = 1e-4


class SelfAttention(keras.layers.Layer):
    """Multi-head self-attention (Vaswani et al. 2017) without an output projection, as in NRMS.

    (rows, places, any) to (rows, places, heads × head_dim). Nothing is masked.
    """

    def __init__(self, heads: int, head_dim: int, **options: Any) -> None:
        super().__init__(**options)
        self.heads, self.head_dim = heads, head_dim

    def build(self, shape: Any) -> None:
        width = self.heads * self.head_dim
        self.kernels = [
            self.add_weight(name=name, shape=(shape[-1], width), initializer="glorot_uniform")
            for name in ("query", "key", "value")
        ]

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        places = tf.shape(inputs)[1]  # batches of a `Sequence` do not tell their shape
        query, key, value = (
            tf.transpose(
                tf.reshape(inputs @ kernel, (-1, places, self.heads, self.head_dim)), (0, 2, 1, 3)
            )
            for kernel in self.kernels
        )
        weights = tf.nn.softmax(tf.matmul(query, key, transpose_b=True) / self.head_dim**0.5)
        mixed = tf.transpose(weights @ value, (0, 2, 1, 3))
        return tf.reshape(mixed, (-1, places, self.heads * self.head_dim))


class AdditivePooling(keras.layers.Layer):
    """Weigh places by what they say (Bahdanau et al. 2015): (rows, places, dim) to (rows, dim)."""

    def __init__(self, size: int, **options: Any) -> None:
        super().__init__(**options)
        self.hidden = keras.layers.Dense(size, activation="tanh")
        self.weigh = keras.layers.Dense(1, use_bias=False)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        weights = tf.nn.softmax(self.weigh(self.hidden(inputs)), axis=1)
        return tf.reduce_sum(weights * inputs, axis=1)


class Rows(keras.utils.Sequence):
    """Batches of training rows; the tokens of their titles are looked up as each is asked for."""

    def __init__(self, tokens: np.ndarray, *rows: np.ndarray, batch_size: int, seed: int) -> None:
        super().__init__()
        self.tokens, self.batch_size = tokens, batch_size
        self.history, self.candidates = rows
        self.order = np.random.default_rng(seed).permutation(len(self.history))

    def __len__(self) -> int:
        return -(-len(self.order) // self.batch_size)

    def __getitem__(self, batch: int) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
        own = self.order[batch * self.batch_size : (batch + 1) * self.batch_size]
        targets = np.zeros((len(own), self.candidates.shape[1]), np.float32)
        targets[:, 0] = 1  # the softmax does not know places, so the positive can stay first
        return (self.tokens[self.history[own]], self.tokens[self.candidates[own]]), targets


class PlainNRMS:
    """The model, its training and its scoring.

    Parameters
    ----------
    tokens
        int32, (articles, title_size): token ids of each title; row 0 is padding.
    vocab_size
        Number of token ids.
    sizes
        Of the model.
    word_matrix
        float32, (vocab_size, word_dim), where training begins; None for a random one.
    seed
        Of all initial weights and of dropout. Sets TensorFlow's global seed.
    """

    def __init__(
        self,
        tokens: np.ndarray,
        vocab_size: int,
        sizes: Sizes = Sizes(),
        word_matrix: np.ndarray | None = None,
        seed: int = 0,
    ) -> None:
        if tokens.ndim != 2 or tokens.shape[1] != sizes.title_size:
            raise ValueError(
                f"`tokens` should be (articles, {sizes.title_size}). Received: {tokens.shape}"
            )
        if word_matrix is not None and word_matrix.shape != (vocab_size, sizes.word_dim):
            raise ValueError(
                f"`word_matrix` should be {(vocab_size, sizes.word_dim)}. "
                f"Received: {word_matrix.shape}"
            )
        keras.utils.set_random_seed(seed)
        self.tokens, self.sizes = tokens, sizes
        self.news_encoder = self._news_encoder(vocab_size, word_matrix)
        self.user_encoder = self._user_encoder()
        self.scorer = self._scorer()
        self.trainer: Any = None
        self._candidates = 0

    def fit_epoch(
        self, history: np.ndarray, candidates: np.ndarray, batch_size: int = 64, seed: int = 0
    ) -> float:
        """Go through all rows once, in an order of `seed`, and return the mean loss.

        Parameters
        ----------
        history
            int32, (rows, history_size): rows of `tokens`.
        candidates
            int32, (rows, 1 + negatives): rows of `tokens`, the clicked one first.
        """
        if self.trainer is None or candidates.shape[1] != self._candidates:
            self.trainer, self._candidates = self._trainer(candidates.shape[1]), candidates.shape[1]
        rows = Rows(self.tokens, history, candidates, batch_size=batch_size, seed=seed)
        fitted = self.trainer.fit(rows, epochs=1, shuffle=False, verbose=0)
        return float(fitted.history["loss"][0])

    def score(
        self,
        history: np.ndarray,
        inview: tuple[np.ndarray, np.ndarray],
        impressions_per_call: int = 1,
    ) -> np.ndarray:
        """Score the articles shown: float32, one an entry, through a sigmoid, which may saturate.

        Parameters
        ----------
        history
            int32, (impressions, history_size): rows of `tokens`.
        inview
            Rows of `tokens`, (entries,), and where impressions begin and end among them,
            (impressions + 1,).
        impressions_per_call
            More than 1 gathers impressions into one batch, as some loaders do; still each entry
            brings its history along.
        """
        values, offsets = inview
        edges = [*range(0, len(history), impressions_per_call), len(history)]
        parts = [np.empty(0, np.float32)]
        for start, stop in itertools.pairwise(edges):
            repeated = np.repeat(history[start:stop], np.diff(offsets[start : stop + 1]), axis=0)
            if not len(repeated):
                continue
            shown = self.tokens[values[offsets[start] : offsets[stop]]]
            found = self.scorer.predict_on_batch((self.tokens[repeated], shown[:, None]))
            parts.append(found[:, 0])
        return np.concatenate(parts)

    def _news_encoder(self, vocab_size: int, word_matrix: np.ndarray | None) -> Any:
        sizes, layers = self.sizes, keras.layers
        start = "uniform" if word_matrix is None else keras.initializers.Constant(word_matrix)
        title = keras.Input((sizes.title_size,), dtype="int32")
        value = layers.Embedding(vocab_size, sizes.word_dim, embeddings_initializer=start)(title)
        value = layers.Dropout(sizes.dropout)(value)
        value = SelfAttention(sizes.heads, sizes.head_dim)(value)
        for units in sizes.dense:
            value = layers.Dense(units, activation="relu")(value)
            value = layers.BatchNormalization()(value)
            value = layers.Dropout(sizes.dropout)(value)
        value = layers.Dropout(sizes.dropout)(value)
        return keras.Model(title, AdditivePooling(sizes.attention_dim)(value), name="news_encoder")

    def _user_encoder(self) -> Any:
        sizes = self.sizes
        titles = keras.Input((sizes.history_size, sizes.title_size), dtype="int32")
        value = keras.layers.TimeDistributed(self.news_encoder)(titles)
        value = SelfAttention(sizes.heads, sizes.head_dim)(value)
        return keras.Model(titles, AdditivePooling(sizes.attention_dim)(value), name="user_encoder")

    def _logits(self, candidates: int) -> tuple[tuple[Any, Any], Any]:
        sizes = self.sizes
        history = keras.Input((sizes.history_size, sizes.title_size), dtype="int32")
        titles = keras.Input((candidates, sizes.title_size), dtype="int32")
        news = keras.layers.TimeDistributed(self.news_encoder)(titles)
        logits = keras.layers.Dot(axes=-1)((news, self.user_encoder(history)))
        return (history, titles), logits

    def _trainer(self, candidates: int) -> Any:
        inputs, logits = self._logits(candidates)
        model = keras.Model(inputs, keras.layers.Activation("softmax")(logits))
        optimizer = keras.optimizers.Adam(self.sizes.learning_rate)
        model.compile(optimizer, loss="categorical_crossentropy")
        return model

    def _scorer(self) -> Any:
        inputs, logits = self._logits(1)
        return keras.Model(inputs, keras.layers.Activation("sigmoid")(logits))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=512)
    parser.add_argument("--impressions", type=int, default=200)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    console, sizes, rng = Console(width=100), Sizes(), np.random.default_rng(0)
    vocabulary, articles = 30_000, 10_000
    tokens = rng.integers(1, vocabulary, (articles, sizes.title_size), dtype=np.int32)
    tokens[0] = 0
    history = rng.integers(0, articles, (options.rows, sizes.history_size), dtype=np.int32)
    candidates = rng.integers(1, articles, (options.rows, 5), dtype=np.int32)
    shown = rng.integers(5, 20, options.impressions)  # 12 in the mean, as in EB-NeRD
    offsets = np.concatenate([[0], np.cumsum(shown)])
    values = rng.integers(1, articles, offsets[-1], dtype=np.int32)
    reading = rng.integers(0, articles, (options.impressions, sizes.history_size), dtype=np.int32)

    model = PlainNRMS(tokens, vocabulary, sizes)
    warm = min(2 * options.batch_size, options.rows) // options.batch_size * options.batch_size
    model.fit_epoch(history[:warm], candidates[:warm], options.batch_size)  # traces, untimed
    model.score(reading[:3], (values, offsets[:4]))
    seconds: dict[str, list[float]] = {"fit": [], "score": []}
    processor: dict[str, list[float]] = {"fit": [], "score": []}  # of all cores, for a busy machine
    for repeat in range(options.repeat):
        start, fit_start = time.perf_counter(), time.process_time()
        loss = model.fit_epoch(history, candidates, options.batch_size, seed=repeat)
        middle, score_start = time.perf_counter(), time.process_time()
        model.score(reading, (values, offsets))
        seconds["fit"].append(middle - start)
        seconds["score"].append(time.perf_counter() - middle)
        processor["fit"].append(score_start - fit_start)
        processor["score"].append(time.process_time() - score_start)
        console.print(f"{repeat + 1} of {options.repeat}: loss {loss:.3f}")
    results = {
        "cores": len(os.sched_getaffinity(0)),
        "devices": [device.device_type for device in tf.config.list_physical_devices()],
        "load": os.getloadavg(),
        "seconds": seconds,
        "processor_seconds": processor,
        "rows_per_second": options.rows / statistics.median(seconds["fit"]),
        "impressions_per_second": options.impressions / statistics.median(seconds["score"]),
        "entries": int(offsets[-1]),
    }
    console.print(f"training rows a second: {results['rows_per_second']:.1f}")
    console.print(f"impressions scored a second: {results['impressions_per_second']:.1f}")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
