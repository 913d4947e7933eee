"""Two embeddings and an in-batch softmax with the logQ correction by TensorFlow Recommenders."""

import os

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs
from harness import peer


class Retrieval(tfrs.Model):
    def __init__(self, users, items, dim, l2, share):
        super().__init__()
        norm = tf.keras.regularizers.L2(l2)
        self.users = tf.keras.layers.Embedding(users, dim, embeddings_regularizer=norm)
        self.items = tf.keras.layers.Embedding(items, dim, embeddings_regularizer=norm)
        self.share = tf.constant(share)
        self.task = tfrs.tasks.Retrieval(remove_accidental_hits=True)

    def compute_loss(self, pairs, training=False):
        user, item = pairs[:, 0], pairs[:, 1]
        loss = self.task(
            self.users(user),
            self.items(item),
            candidate_sampling_probability=tf.gather(self.share, item),
            candidate_ids=item,
            compute_metrics=False,
        )
        return loss / tf.cast(tf.shape(pairs)[0], tf.float32)


def fit(train, seed, dim, l2, epochs, batch_size, learning_rate):
    tf.keras.utils.set_random_seed(seed)
    pairs = train.frame[["user", "item"]].to_numpy("int32")
    share = np.bincount(pairs[:, 1], minlength=train.items).astype("float32") / len(pairs)
    model = Retrieval(train.users, train.items, dim, l2, share)
    model.compile(tf.keras.optimizers.Adam(learning_rate))
    rows = tf.data.Dataset.from_tensor_slices(pairs).shuffle(len(pairs), seed=seed)
    model.fit(rows.batch(batch_size), epochs=epochs, verbose=0)
    return lambda history: model.users.get_weights()[0] @ model.items.get_weights()[0].T


peer(fit)
