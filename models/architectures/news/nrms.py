"""NRMS: neural news recommendation with multi-head self-attention (Wu et al., EMNLP 2019)."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
from merlin.schema import Schema, Tags
from numpy.typing import NDArray

from towermill.columns import FIRST_ID, HISTORY, ITEM_ID, NULL_ID, TOKENS, USER_ID, VECTOR
from towermill.errors import RecipeError
from towermill.models.architectures.news.history import HistoryTower, NewsRetriever, dense_list
from towermill.models.data.impressions import AGE, AGE_HOURS, ImpressionData
from towermill.models.encoders import NEWS_ENCODERS, USER_ENCODERS
from towermill.models.objectives.slate_losses import SLATE_LOSSES

if TYPE_CHECKING:
    from towermill.models.configs.news.nrms import NRMSConfig


def build_nrms(
    data: ImpressionData, config: NRMSConfig, *, batch_size: int = 0, seed: int = 0
) -> NewsRetriever:
    """Return an untrained NRMS.

    Parameters
    ----------
    data
        Gives the schema, the tokens of articles and the vectors of words.
    config
        The recipe's `model` section.
    batch_size
        Not needed.
    seed
        Seed of the initial vectors of words and of `features`. All other weights use TensorFlow's
        global seed: call `towermill.runtime.device.seed_everything` before, as `train_model` does.

    Raises
    ------
    SchemaError
        The processed data has no text or no histories.
    RecipeError
        `model.features` names a column that is not a category of the articles, or `model.age` is
        asked for and the source does not say when they came out.
    """
    kind = NEWS_ENCODERS.get(config.news_encoder)
    reads = getattr(kind, "reads", (TOKENS,))
    schema = _item_schema(data, config, reads)
    sizes = {"heads": config.heads, "head_dim": config.head_dim}
    encoder = kind(
        words=_words(data, config, seed) if TOKENS in reads else None,
        **sizes,
        attention_dim=config.attention_dim,
        dense=config.dense,
        dropout=config.dropout,
        masked=config.masks,
        features={
            name: _category_table(int(schema[name].int_domain.max) + 1, config.dim, name, seed)
            for name in config.features
        },
    )
    reader = USER_ENCODERS.get(config.user_encoder)(
        **sizes, attention_dim=config.attention_dim, dropout=config.user_dropout
    )
    ages = None
    if config.age:
        ages = tf.keras.layers.Embedding(len(AGE_HOURS) + 2, config.dim, name=AGE)
    title_size = data.title_size if TOKENS in reads else 0
    width = data.vectors.shape[1] if VECTOR in reads else 0
    item_tower = ArticleTower(encoder, ages, schema, title_size, width)
    long_term, columns = None, [data.list_column(HISTORY)]
    if config.reader_ids:
        columns.insert(0, data.column(USER_ID))
        long_term = LongTerm(int(columns[0].int_domain.max) + 1, config.dim)
    query_tower = HistoryTower(
        reader,
        Schema(columns),
        data.history_size,
        masked=config.masks,
        dim=config.dim,
        long_term=long_term,
    )
    model = NRMS(data, item_tower, reader, long_term, config)
    retriever = NewsRetriever(query_tower, item_tower, model, model.loss)
    retriever.build(data)
    return retriever


class ArticleTower(tf.keras.layers.Layer):  # type: ignore[misc]
    """The item tower: an article's tokens, vector, categories and age → ``(rows, dim)``."""

    def __init__(
        self,
        encoder: Any,
        ages: Any,
        schema: Schema,
        title_size: int,
        vector_size: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.encoder, self.ages, self.schema = encoder, ages, schema
        self.title_size, self.vector_size = title_size, vector_size

    def call(self, inputs: Mapping[str, tf.Tensor], training: Any = None) -> tf.Tensor:
        """Encode a batch in the form of `towermill.models.data.interactions.to_batch`."""
        tokens = given = None
        # One article more, whose title is one word: see `HistoryTower`.
        if TOKENS in self.schema.column_names:
            tokens = dense_list(inputs, TOKENS)[:, : self.title_size]
            if not self.encoder.masked:  # as in training, whatever else is in the batch
                tokens = tf.pad(tokens, [[0, 0], [0, self.title_size - tf.shape(tokens)[1]]])
            tokens = tf.pad(tokens, [[0, 1], [0, 0]], constant_values=NULL_ID)
        if VECTOR in self.schema.column_names:
            given = dense_list(inputs, VECTOR)  # as wide as the widest of the batch
            given = tf.pad(given, [[0, 1], [0, self.vector_size - tf.shape(given)[1]]])
            given = tf.ensure_shape(given, [None, self.vector_size])
        categories = {name: tf.pad(inputs[name], [[0, 1]]) for name in self.encoder.features}
        vectors = _encoded(self.encoder, tokens, categories, given, training)[:-1]
        return vectors if self.ages is None else vectors + self.age(inputs[AGE])

    def age(self, buckets: tf.Tensor) -> tf.Tensor:
        """Return what an age adds to an article's vector; nothing where it is not known."""
        known = tf.cast(buckets > 0, self.compute_dtype)[..., None]
        return tf.cast(self.ages(buckets), self.compute_dtype) * known


class LongTerm(tf.keras.layers.Layer):  # type: ignore[misc]
    """A vector of each reader, ``(rows, dim)``, initially 0; that of unknown readers stays 0.

    Parameters
    ----------
    readers
        Encoded ids.
    dim
        Width.
    """

    def __init__(self, readers: int, dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.table = tf.keras.layers.Embedding(readers, dim, embeddings_initializer="zeros")

    def call(self, users: tf.Tensor) -> tf.Tensor:
        known = tf.cast(users >= FIRST_ID, self.compute_dtype)[:, None]
        return tf.cast(self.table(users), self.compute_dtype) * known


class NRMS(tf.keras.layers.Layer):  # type: ignore[misc]
    """Train both towers: each distinct article and reader of a batch is encoded once.

    A batch holds ``history_id`` ``(rows,)`` and ``candidates`` ``(rows, 1 + negatives)``, int32,
    the click first, 0 where there is no further negative, with ages ``ages`` like these, and
    ``user_id`` ``(rows,)``.
    Tokens, categories and histories are on the device and are looked up there.
    """

    def __init__(
        self,
        data: ImpressionData,
        tower: ArticleTower,
        reader: Any,
        long_term: LongTerm | None,
        config: NRMSConfig,
    ) -> None:
        super().__init__()
        self.long_term = long_term
        if long_term is not None:
            self.leave_out = tf.keras.layers.Dropout(config.reader_dropout)
        self.tower, self.reader, self.masked = tower, reader, config.masks
        self._loss = SLATE_LOSSES.get(config.loss)()
        self.forget = tf.keras.layers.Dropout(config.history_dropout)
        columns = tower.schema.column_names
        self._tokens = tf.constant(data.tokens) if TOKENS in columns else None
        self._given = tf.constant(data.vectors) if VECTOR in columns else None
        self._histories = tf.constant(data.histories)
        self._categories = {name: tf.constant(data.categories(name)) for name in config.features}

    def call(self, batch: Mapping[str, tf.Tensor], training: Any = None) -> tf.Tensor:
        """Return logits like ``candidates``, float32."""
        readers, reader_of = tf.unique(batch["history_id"])
        read = tf.gather(self._histories, readers)
        candidates = batch["candidates"]
        both = tf.concat([tf.reshape(read, [-1]), tf.reshape(candidates, [-1])], 0)
        ids, place = tf.unique(both)
        vectors = self._encode(ids, training)
        cut = tf.size(read)
        of_read = tf.gather(vectors, tf.reshape(place[:cut], tf.shape(read)))
        shown = tf.gather(vectors, tf.reshape(place[cut:], tf.shape(candidates)))
        if self.tower.ages is not None:
            shown += self.tower.age(batch["ages"])
        mask = read >= FIRST_ID if self.masked else tf.ones_like(read, tf.bool)
        mask &= self.forget(tf.ones_like(read, tf.float32), training=training) > 0
        users = tf.gather(self.reader(of_read, mask, training=training), reader_of)
        if self.long_term is not None:
            own = self.long_term(batch[USER_ID])
            # Of whole rows, and without the scaling of dropout: to serve is to have both.
            kept = self.leave_out(tf.ones_like(own[:, :1], tf.float32), training=training) > 0
            users += own * tf.cast(kept, own.dtype)
        users, shown = tf.cast(users, tf.float32), tf.cast(shown, tf.float32)
        return tf.einsum("bd,bcd->bc", users, shown)

    def loss(self, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Return the loss of a training batch."""
        logits = self(batch, training=True)
        return tf.reduce_mean(self._loss(logits, batch["candidates"] > 0))

    def _encode(self, ids: tf.Tensor, training: Any) -> tf.Tensor:
        categories = {name: tf.gather(table, ids) for name, table in self._categories.items()}
        tokens = None if self._tokens is None else tf.gather(self._tokens, ids)
        given = None if self._given is None else tf.gather(self._given, ids)
        return _encoded(self.tower.encoder, tokens, categories, given, training)


def _encoded(
    encoder: Any,
    tokens: tf.Tensor | None,
    categories: Mapping[str, tf.Tensor],
    given: tf.Tensor | None,
    training: Any,
) -> tf.Tensor:
    """Call an encoder with what it reads: `vectors` for those that name it in `reads` alone."""
    vectors = {} if given is None else {"vectors": given}
    return encoder(tokens, categories, **vectors, training=training)


def _item_schema(data: ImpressionData, config: NRMSConfig, reads: tuple[str, ...]) -> Schema:
    if TOKENS in reads:
        data.list_column(TOKENS)
    if VECTOR in reads:
        _ = data.vectors  # refused where there are none
    schema = data.item_schema
    scalars = [
        c.name
        for c in schema
        if Tags.CATEGORICAL in c.tags and not c.is_list and c.name not in (ITEM_ID, AGE)
    ]
    for name in config.features:
        if name not in scalars:
            raise RecipeError(
                "`model.features` should name categories of the articles: "
                f"{', '.join(scalars) or 'there are none'}. Received: {name!r}."
            )
    wanted = [*reads, *config.features, *([AGE] if config.age else [])]
    if config.age and AGE not in schema.column_names:
        raise RecipeError(
            "`model.age` needs the moment each article came out; the source has none. Set "
            "`model.age: false`."
        )
    return Schema([schema[name] for name in wanted])


def _category_table(rows: int, dim: int, name: str, seed: int) -> Any:
    """Return an embedding layer in which an unknown category begins by adding nothing."""
    rng = np.random.default_rng((zlib.crc32(name.encode()), seed))
    values = rng.normal(0.0, 0.05, (rows, dim)).astype(np.float32)
    values[:FIRST_ID] = 0.0
    return tf.keras.layers.Embedding(
        rows, dim, embeddings_initializer=tf.keras.initializers.Constant(values)
    )


def _words(data: ImpressionData, config: NRMSConfig, seed: int) -> Any:
    """Return the embedding layer of tokens."""
    initial = _initial_words(data, seed)
    return tf.keras.layers.Embedding(
        *initial.shape,
        embeddings_initializer=tf.keras.initializers.Constant(initial),
        trainable=not config.frozen_words,
    )


def _initial_words(data: ImpressionData, seed: int) -> NDArray[np.float32]:
    """Return the vectors of words at the start: those given, or small random ones."""
    if data.folder.words.is_file():
        found: NDArray[np.float32] = np.load(data.folder.words)
        return found
    text = data.text_stats
    rng = np.random.default_rng(seed)
    return rng.uniform(-0.05, 0.05, (text.tokens, text.word_dim)).astype(np.float32)
