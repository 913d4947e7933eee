"""EASE and SASRec by RecTools."""

from functools import partial

import numpy as np
import pandas as pd
from harness import K, peer
from pytorch_lightning import Trainer, seed_everything
from rectools.dataset import Dataset
from rectools.models import EASEModel, SASRecModel


def table(pairs):
    names = {"user": "user_id", "item": "item_id"}
    times = pd.to_datetime(pairs.frame["timestamp"], unit="s")
    return pairs.frame.rename(columns=names).assign(datetime=times, weight=1)


def fit(train, seed, kind, epochs=0, **setting):
    seed_everything(seed)
    data = Dataset.construct(table(train))
    if kind == "ease":
        model = EASEModel(**setting)
    else:
        quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        trainer = partial(Trainer, max_epochs=epochs, accelerator="cpu", **quiet)
        model = SASRecModel(get_trainer_func=trainer, **setting)
    model.fit(data)

    def recommend(history):
        known = data.rebuild_with_new_data(table(history))
        found = model.recommend(np.arange(history.users), known, k=K, filter_viewed=True)
        lists = np.full((history.users, K), -1)
        lists[found["user_id"], found["rank"] - 1] = found["item_id"]
        return lists

    return recommend


peer(fit)
