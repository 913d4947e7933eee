"""Write the rows per processor second of a Keras Recommenders two-tower, an epoch a line.

    python keras_rs_training.py TABLES ROWS --batch-size 4096 --epochs 3

TABLES is JSON: for ``query`` and ``item``, column to its number of ids and width. ROWS is Parquet
with these columns. The towers, the optimizer and the in-batch softmax are those that
``benchmarks/functions/training.py`` gives the other libraries. The first epoch is not printed.
"""

import argparse
import json
import os
import sys
import time

os.environ["KERAS_BACKEND"] = "jax"

import keras
import keras_rs
import pandas as pd

WIDTHS = (128, 64)


def tower(tables):
    """Return the embeddings of all columns side by side, and dense layers."""
    inputs = {name: keras.Input((), name=name, dtype="int32") for name in tables}
    found = [keras.layers.Embedding(*tables[name])(inputs[name]) for name in tables]
    found = keras.layers.Concatenate()(found) if len(found) > 1 else found[0]
    found = keras.layers.Dense(WIDTHS[0], activation="relu")(found)
    return keras.Model(inputs, keras.layers.Dense(WIDTHS[1])(found))


class Retrieval(keras.Model):
    def __init__(self, tables):
        super().__init__()
        self.names = {side: list(columns) for side, columns in tables.items()}
        self.query, self.item = tower(tables["query"]), tower(tables["item"])
        self.remove = keras_rs.layers.RemoveAccidentalHits()

    def call(self, batch):
        query = self.query({name: batch[name] for name in self.names["query"]})
        item = self.item({name: batch[name] for name in self.names["item"]})
        logits = keras.ops.matmul(query, keras.ops.transpose(item))
        return self.remove(logits, keras.ops.eye(logits.shape[0]), batch["item_id"])


def in_batch_softmax(_, logits):
    labels = keras.ops.eye(logits.shape[0])
    return keras.losses.categorical_crossentropy(labels, logits, from_logits=True)


class Clock(keras.callbacks.Callback):
    """Notes the processor seconds at the end of each epoch."""

    def __init__(self):
        super().__init__()
        self.moments = []

    def on_epoch_end(self, epoch, logs=None):
        self.moments.append(time.process_time())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tables", type=json.loads)
    parser.add_argument("rows")
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--epochs", type=int)
    options = parser.parse_args()
    names = [name for columns in options.tables.values() for name in columns]
    frame = pd.read_parquet(options.rows, columns=names)
    whole = len(frame) // options.batch_size * options.batch_size  # one shape, compiled once
    batch = {name: frame[name].to_numpy("int32")[:whole] for name in names}
    model, clock = Retrieval(options.tables), Clock()
    model.compile(keras.optimizers.Adam(0.001), in_batch_softmax)
    labels = batch[names[0]]
    model.fit(batch, labels, options.batch_size, options.epochs, verbose=0, callbacks=[clock])
    for begun, end in zip(clock.moments, clock.moments[1:], strict=False):
        sys.stdout.write(f"{whole / (end - begun)}\n")


main()
