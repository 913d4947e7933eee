"""SASRec by RecTools."""

import numpy as np
import pandas as pd
from harness import K, peer
from pytorch_lightning import Trainer, seed_everything
from rectools.dataset import Dataset, Interactions
from rectools.models import SASRecModel


def table(pairs):
    names = {"user": "user_id", "item": "item_id"}
    times = pd.to_datetime(pairs.frame["timestamp"], unit="s")
    return pairs.frame.rename(columns=names).assign(datetime=times, weight=1)


def fit(train, seed, epochs, **setting):
    seed_everything(seed)
    data = Dataset.construct(table(train))
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}

    def trainer():
        return Trainer(max_epochs=epochs, accelerator="cpu", **quiet)

    model = SASRecModel(get_trainer_func=trainer, **setting).fit(data)

    def recommend(history):
        maps = data.user_id_map, data.item_id_map
        known = Dataset(*maps, Interactions.from_raw(table(history), *maps))
        found = model.recommend(np.arange(history.users), known, k=K, filter_viewed=True)
        lists = np.full((history.users, K), -1)
        lists[found["user_id"], found["rank"] - 1] = found["item_id"]
        return lists

    return recommend


peer(fit)
