"""The two-tower of Merlin Models with in-batch negatives, by its own `fit`."""

import towermill  # isort: skip  # makes it run on a current stack
import merlin.models.tf as mm
import numpy as np
import nvtabular as nvt
import tensorflow as tf
from harness import peer
from merlin.schema import Tags


def fit(train, seed, dim, layers, epochs, batch_size, learning_rate):
    tf.keras.utils.set_random_seed(seed)
    rows = train.frame[["user", "item"]].astype("int64")
    users = ["user"] >> nvt.ops.Categorify() >> nvt.ops.TagAsUserID()
    items = ["item"] >> nvt.ops.Categorify() >> nvt.ops.TagAsItemID()
    workflow = nvt.Workflow(users + items)
    data = nvt.Dataset(workflow.fit_transform(nvt.Dataset(rows)).to_ddf().compute())
    data.schema = workflow.output_schema
    model = mm.TwoTowerModel(
        data.schema,
        query_tower=mm.MLPBlock([*layers, dim], no_activation_last_layer=True),
        samplers=[mm.InBatchSampler()],
        embedding_options=mm.EmbeddingOptions(embedding_dim_default=dim),
    )
    model.compile(tf.keras.optimizers.Adam(learning_rate), run_eagerly=False)
    model.fit(data, batch_size=batch_size, epochs=epochs, verbose=0)

    def vectors(name, found, count):
        found = found.compute(scheduler="synchronous").set_index(name)
        encoded = data.to_ddf().compute()[name].to_numpy()
        ids = np.zeros(count, int)
        ids[rows[name]] = encoded
        return found.loc[ids].to_numpy("float32")

    query = model.query_embeddings(data, 1024, Tags.USER, Tags.USER_ID)
    item = model.item_embeddings(data, 1024, Tags.ITEM, Tags.ITEM_ID)
    queries = vectors("user", query, train.users)
    return lambda history: queries @ vectors("item", item, train.items).T


assert towermill
peer(fit)
