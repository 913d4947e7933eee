"""ALS, EASE and SASRec by RecTools."""

import numpy as np
import pandas as pd
from harness import K, peer
from implicit.als import AlternatingLeastSquares
from pytorch_lightning import Trainer, seed_everything
from rectools.dataset import Dataset, Interactions
from rectools.models import EASEModel, ImplicitALSWrapperModel, SASRecModel


def table(pairs):
    names = {"user": "user_id", "item": "item_id"}
    times = pd.to_datetime(pairs.frame["timestamp"], unit="s")
    return pairs.frame.rename(columns=names).assign(datetime=times, weight=1)


def als(seed, **setting):
    return ImplicitALSWrapperModel(AlternatingLeastSquares(random_state=seed, **setting))


def ease(seed, **setting):
    return EASEModel(num_threads=1, **setting)


def sasrec(seed, epochs, **setting):
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}

    def trainer():
        return Trainer(max_epochs=epochs, accelerator="cpu", **quiet)

    return SASRecModel(get_trainer_func=trainer, **setting)


def fit(train, seed, kind, **setting):
    seed_everything(seed)
    data = Dataset.construct(table(train))
    model = {"als": als, "ease": ease, "sasrec": sasrec}[kind](seed, **setting).fit(data)

    def recommend(history):
        maps = data.user_id_map, data.item_id_map
        known = Dataset(*maps, Interactions.from_raw(table(history), *maps))
        found = model.recommend(np.arange(history.users), known, k=K, filter_viewed=True)
        lists = np.full((history.users, K), -1)
        lists[found["user_id"], found["rank"] - 1] = found["item_id"]
        return lists

    return recommend


peer(fit)
