"""A bundle of the catalogue that `serving.py` makes up; the reader and the server on it."""

from __future__ import annotations

import json
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import polars as pl
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from towermill import __version__
from towermill.features.inputs import ModelInput, RawEncoding
from towermill.pipelines import Bundle
from towermill.pipelines.bundle.manifest import (
    INDEX,
    Manifest,
    OnnxModel,
    Parity,
    Rows,
    content_id,
    files_of,
    onnx_file,
    save_manifest,
)
from towermill.pipelines.export.tables import write_tables
from towermill.pipelines.search.description import PublishedIndex

#: Items that each user has met.
_SEEN = 20
_LOAD = Path(__file__).with_name("serving_load.py")


def make_bundle(
    folder: Path, vectors: NDArray, queries: NDArray, index: Path, told: PublishedIndex
) -> Path:
    """Write a bundle whose users are the queries; return its folder."""
    folder.mkdir(parents=True)
    users, items = len(queries), len(vectors)
    ids = np.arange(items)
    write_tables(
        pl.DataFrame(
            {"user_id": np.arange(3, users + 3, dtype=np.int32), "raw_user_id": ids[:users]}
        ),
        pl.DataFrame(
            {
                "item_id": np.arange(3, items + 3, dtype=np.int32),
                "raw_item_id": ids,
                "raw_title": [f"Item no. {i}" for i in range(items)],
            }
        ),
        pl.DataFrame(
            {
                "user_id": np.arange(3, users + 3, dtype=np.int32),
                "item_id": np.random.default_rng(0).integers(3, items + 3, (users, _SEEN)).tolist(),
            },
            schema_overrides={"item_id": pl.List(pl.Int32)},
        ),
        folder,
    )
    (folder / INDEX).mkdir()
    for name in told.files:
        (folder / INDEX / name).hardlink_to(index / name)
    (folder / "onnx").mkdir()
    onnx.save(_lookup(queries), str(folder / onnx_file("query_tower")))
    user = ModelInput(
        "int32",
        list=False,
        ids=users + 3,
        raw=RawEncoding("category", type="int64", ids_of="user_id"),
    )
    files = files_of(folder)
    manifest = Manifest(
        id=content_id(files),
        kind="retriever",
        query_features={"user_id": user},
        item_features={},
        onnx={"query_tower": OnnxModel(onnx_file("query_tower"), "embedding")},
        parity=Parity({}, 0.0, 0),
        dim=vectors.shape[1],
        index=told,
        rows=Rows(users, items),
        title="title",
        files=files,
        towermill=__version__,
        packages={},
        recipe={"name": "serving"},
    )
    save_manifest(folder, manifest)
    return folder


def _lookup(queries: NDArray) -> onnx.ModelProto:
    """Return a tower that looks a user's embedding up; id 2 and below are of zeros."""
    table = np.concatenate([np.zeros((3, queries.shape[1]), np.float32), queries])
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "user_id"], ["embedding"])],
        "query_tower",
        [helper.make_tensor_value_info("user_id", TensorProto.INT32, ["rows"])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["rows", table.shape[1]])],
        [numpy_helper.from_array(table, "table")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def measure_reader(folder: Path, runs: int) -> dict[str, float]:
    """Return seconds to open, and milliseconds of `Bundle.recommend`; medians of runs."""
    found: dict[str, list[float]] = {}
    for _ in range(runs):
        started = time.perf_counter()
        bundle = Bundle.open(folder)
        bundle.load()
        found.setdefault("open_s", []).append(time.perf_counter() - started)
        for k in (10, 100):
            times = []
            for user in range(len(bundle.users)):
                started = time.perf_counter()
                bundle.recommend(user, k)
                times.append(1000 * (time.perf_counter() - started))
            for share in (50, 99):
                found.setdefault(f"k{k}_p{share}_ms", []).append(float(np.percentile(times, share)))
    return {name: statistics.median(values) for name, values in found.items()}


def measure_server(folder: Path, rate: float, runs: int, seconds: float = 15.0) -> dict[str, Any]:
    """Return what `serving_load.py` finds of a server on loopback; the run of the median p99."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "towermill.cli.app", "serve", str(folder), "--port", str(port)]
    server = subprocess.Popen([*command, "--log-level", "warning"])
    try:
        _wait_for(url)
        load = [sys.executable, str(_LOAD), url, "--rate", str(rate), "--seconds", str(seconds)]
        found = [
            json.loads(subprocess.run([*load, "--json"], capture_output=True, check=False).stdout)
            for _ in range(runs)
        ]
    finally:
        server.terminate()
        server.wait()
    return dict(sorted(found, key=lambda run: run["p99 ms"])[len(found) // 2])


def _wait_for(url: str) -> None:
    for _ in range(600):
        try:
            urllib.request.urlopen(f"{url}/readyz").close()
            return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    raise TimeoutError(f"nothing serves at {url}")
