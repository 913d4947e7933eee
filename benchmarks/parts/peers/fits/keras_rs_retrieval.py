"""Two embeddings and an in-batch softmax with the logQ correction by Keras Recommenders."""

import os

os.environ["KERAS_BACKEND"] = "jax"

import keras
import keras_rs
import numpy as np
from harness import peer


class Retrieval(keras.Model):
    def __init__(self, users, items, dim, l2, share):
        super().__init__()
        norm = keras.regularizers.L2(l2)
        self.users = keras.layers.Embedding(users, dim, embeddings_regularizer=norm)
        self.items = keras.layers.Embedding(items, dim, embeddings_regularizer=norm)
        self.share = keras.ops.convert_to_tensor(share)
        self.correct = keras_rs.layers.SamplingProbabilityCorrection()
        self.remove = keras_rs.layers.RemoveAccidentalHits()

    def call(self, pairs):
        user, item = pairs[:, 0], pairs[:, 1]
        logits = keras.ops.matmul(self.users(user), keras.ops.transpose(self.items(item)))
        logits = self.correct(logits, keras.ops.take(self.share, item))
        return self.remove(logits, keras.ops.eye(len(item)), item)


def in_batch_softmax(_, logits):
    labels = keras.ops.eye(logits.shape[0])
    return keras.losses.categorical_crossentropy(labels, logits, from_logits=True)


def fit(train, seed, dim, l2, epochs, batch_size, learning_rate):
    keras.utils.set_random_seed(seed)
    pairs = train.frame[["user", "item"]].to_numpy("int32")
    share = np.bincount(pairs[:, 1], minlength=train.items).astype("float32") / len(pairs)
    model = Retrieval(train.users, train.items, dim, l2, share)
    model.compile(keras.optimizers.Adam(learning_rate), in_batch_softmax)
    model.fit(pairs, np.zeros(len(pairs)), batch_size, epochs, verbose=0)
    return lambda history: model.users.get_weights()[0] @ model.items.get_weights()[0].T


peer(fit)
