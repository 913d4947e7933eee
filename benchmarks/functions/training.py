"""Rows per processor second in training a two-tower: Towermill beside stock Merlin Models.

    .venv/bin/python benchmarks/functions/training.py [--rows 400000] [--batch-size 4096] [--runs 3]
        [--keras-rs PYTHON]

Both train from one processed folder (a generated log in Ali-CCP's layout, its clicks), with towers
of 128 and 64, Adam and in-batch negatives, in turn. Epochs after the first are measured, which has
compiled the step. Prints a table of medians. PYTHON is an interpreter with keras-rs, such as
``benchmarks/peers.py`` installs (``runs/peers/envs/keras_rs/bin/python``): then it trains on the
same rows, its scalar columns held in memory, with tables of the same sizes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from towermill.pipelines import run, validate_recipe
from towermill.pipelines.running.plan import Selection
from towermill.runtime.device import quiet_tensorflow, resolve

WIDTHS = (128, 64)
SCRIPT = Path(__file__).parents[1] / "parts" / "peers" / "keras_rs_training.py"


def processed(rows: int, out: Path) -> Path:
    """Return the processed folder of a generated log."""
    recipe = {
        "name": "training",
        "source": {
            "kind": "synthetic",
            "layout": "aliccp",
            "users": max(rows // 8, 100),
            "items": max(rows // 20, 50),
            "interactions": rows,
        },
        "split": {"kind": "given"},
        "features": {"positive": {"click": 1}},
    }
    steps = run(validate_recipe(recipe), out, Selection(last="process"))
    return next(step.folder for step in steps if step.stage.name == "process")


def ours(folder: Path, batch_size: int, epochs: int) -> list[float]:
    """Return the rows per processor second of Towermill's epochs but the first."""
    from towermill.models.build import build_model, open_data
    from towermill.models.configs.train import TrainConfig
    from towermill.models.configs.two_tower import TwoTowerConfig
    from towermill.models.training.fit import fit

    data, config = open_data(folder), TwoTowerConfig(tower=WIDTHS)
    model = build_model(data, config, batch_size=batch_size)
    batches = Timed(config.batches(data, batch_size=batch_size, seed=0))
    train = TrainConfig(epochs=epochs, batch_size=batch_size, tensorboard=False)
    with tempfile.TemporaryDirectory() as out:
        fit(model, batches, train, Path(out))
    return [batches.rows / seconds for seconds in batches.seconds()]


class Timed:
    """Batches that note when each epoch begins and ends, in processor seconds."""

    def __init__(self, batches: Any) -> None:
        self._batches, self._moments = batches, []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batches, name)

    def __len__(self) -> int:
        return len(self._batches)

    def epoch(self, number: int) -> Any:
        """Yield the batches of an epoch."""
        begun = time.process_time()
        yield from self._batches.epoch(number)
        self._moments.append(time.process_time() - begun)

    def seconds(self) -> list[float]:
        """Return the processor seconds of all epochs but the first."""
        return self._moments[1:]


def stock(folder: Path, batch_size: int, epochs: int) -> list[float]:
    """Return the same of Merlin's own `TwoTowerModel` and its `fit`."""
    import merlin.models.tf as mm
    import tensorflow as tf

    from towermill.models.build import open_data

    data = open_data(folder)
    dataset = data.dataset("train")
    model = mm.TwoTowerModel(
        dataset.schema,
        query_tower=mm.MLPBlock(list(WIDTHS), no_activation_last_layer=True),
        samplers=[mm.InBatchSampler()],
    )
    moments: list[float] = []
    clock = tf.keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: moments.append(time.process_time())
    )
    model.compile(optimizer=tf.keras.optimizers.Adam(0.001), run_eagerly=False)
    model.fit(dataset, batch_size=batch_size, epochs=epochs, callbacks=[clock], verbose=0)
    rows = data.rows("train")
    return [rows / (end - begun) for begun, end in pairwise(moments)]


def keras_rs(python: Path, folder: Path, batch_size: int, epochs: int) -> list[float]:
    """Return the same of a two-tower by Keras Recommenders, in a process of its own."""
    from merlin.models.utils.schema_utils import get_embedding_size_from_cardinality

    from towermill.models.build import open_data

    data = open_data(folder)
    sides = {"query": data.query_schema, "item": data.item_schema}
    tables: dict[str, dict[str, tuple[int, int]]] = {side: {} for side in sides}
    for side, schema in sides.items():
        for column in schema:
            if not column.is_list:
                ids = int(column.int_domain.max) + 1
                tables[side][column.name] = ids, get_embedding_size_from_cardinality(ids)
    rows = folder.parent / "train_rows.parquet"
    names = {name: None for columns in tables.values() for name in columns}
    data.scan("train").select(*names).sink_parquet(rows)
    command = [python, SCRIPT, json.dumps(tables), rows]
    command += ["--batch-size", str(batch_size), "--epochs", str(epochs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"keras-rs failed:\n{done.stderr[-2000:]}")
    return [float(line) for line in done.stdout.split()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--batch-size", type=int, default=4096)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--keras-rs", type=Path, metavar="PYTHON")
    options = parser.parse_args()
    quiet_tensorflow()
    resolve("cpu")
    with tempfile.TemporaryDirectory() as out:
        folder = processed(options.rows, Path(out))
        measures: dict[str, Any] = {"Towermill": ours, "stock Merlin": stock}
        if options.keras_rs:
            measures["keras-rs"] = partial(keras_rs, options.keras_rs)
        found: dict[str, list[float]] = {name: [] for name in measures}
        for _ in range(options.runs):
            for name, measure in measures.items():
                found[name] += measure(folder, options.batch_size, options.epochs)
    table = Table("", "rows per processor second", "least", "most", "ratio")
    base = statistics.median(found["stock Merlin"])
    for name, values in found.items():
        middle = statistics.median(values)
        cells = (f"{value:,.0f}" for value in (middle, min(values), max(values)))
        table.add_row(name, *cells, f"{middle / base:.2f}")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
