"""WARP by LightFM."""

from harness import peer
from lightfm import LightFM


def fit(train, seed, epochs, **setting):
    model = LightFM(loss="warp", random_state=seed, **setting)
    model.fit(train.matrix(), epochs=epochs, num_threads=1)
    return lambda history: model.user_embeddings @ model.item_embeddings.T + model.item_biases


peer(fit)
