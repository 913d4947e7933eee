"""ALS, BPR and item kNN by implicit."""

import numpy as np
from harness import peer
from implicit.als import AlternatingLeastSquares
from implicit.bpr import BayesianPersonalizedRanking
from implicit.nearest_neighbours import BM25Recommender


def fit(train, seed, kind, **setting):
    if kind == "als":
        model = AlternatingLeastSquares(random_state=seed, num_threads=1, **setting)
    elif kind == "bpr":
        model = BayesianPersonalizedRanking(random_state=seed, num_threads=1, **setting)
    else:
        model = BM25Recommender(num_threads=1, **setting)
    model.fit(train.matrix(), show_progress=False)

    def recommend(history):
        users, seen = np.arange(history.users), history.matrix()
        return model.recommend(users, seen, N=100, recalculate_user=kind != "bpr")[0]

    return recommend


peer(fit)
