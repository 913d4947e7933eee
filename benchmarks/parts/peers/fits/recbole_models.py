"""BPR and LightGCN by RecBole."""

import os

os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"

import tempfile
from pathlib import Path

import numpy as np
import torch
from harness import peer
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.data.interaction import Interaction
from recbole.utils import get_model, get_trainer, init_seed


def fit(train, seed, model, **setting):
    folder = Path(tempfile.mkdtemp())
    (folder / "log").mkdir()
    table = train.frame[["user", "item"]].set_axis(["user_id:token", "item_id:token"], axis=1)
    table.to_csv(folder / "log" / "log.inter", sep="\t", index=False)
    told = {
        "data_path": str(folder),
        "load_col": {"inter": ["user_id", "item_id"]},
        "eval_args": {"split": {"RS": [1, 0, 0]}, "order": "RO", "group_by": "user"},
        "train_batch_size": 2048,
        "use_gpu": False,
        "show_progress": False,
        **setting,
    }
    config = Config(model, "log", config_dict=told)
    init_seed(seed, reproducibility=True)
    dataset = create_dataset(config)
    batches = data_preparation(config, dataset)[0]
    network = get_model(model)(config, batches.dataset)
    get_trainer(config["MODEL_TYPE"], model)(config, network).fit(batches, saved=False)
    items = dataset.token2id("item_id", np.arange(train.items).astype(str))

    def recommend(history):
        users = dataset.token2id("user_id", np.arange(history.users).astype(str))
        query = {"user_id": torch.tensor(users)}
        with torch.no_grad():
            scores = network.eval().full_sort_predict(Interaction(query))
        return scores.view(len(users), -1).numpy()[:, items]

    return recommend


peer(fit)
