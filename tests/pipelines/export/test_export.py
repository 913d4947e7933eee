"""The bundle as exported: what its manifest says, and that it equals the model or is refused."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from towermill.errors import BundleError
from towermill.pipelines.export import export


@pytest.fixture(scope="module")
def manifest(trained: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((trained.bundle / "manifest.json").read_text())
    return found


@pytest.fixture(scope="module")
def live(trained: Any) -> Any:
    """The processed data and the live model."""
    from towermill.models.build import load_model

    return load_model(trained.stages["process"], trained.stages["train"], trained.recipe.model)


class TestManifest:
    def test_content(self, manifest: Any, trained: Any) -> None:
        assert set(manifest) == {
            *("format", "kind", "towermill", "packages", "recipe", "ids", "query_features"),
            *(
                "item_features",
                "item_columns",
                "as_of",
                "title",
                "dim",
                "index",
                "rows",
                "parity",
                "metrics",
            ),
            *("files", "id", "onnx", "raw_inputs", "gates", "sha256"),
        }
        assert manifest["format"] == 4
        assert manifest["ids"] == {"padding": 0, "null": 1, "unknown": 2, "first": 3}
        assert manifest["dim"] == 8
        told = trained.recipe.model_dump(mode="json", exclude={"tune", "simulate"})
        assert manifest["recipe"] == {**told, "runtime": {"seed": told["runtime"]["seed"]}}
        assert manifest["packages"]["nvtabular"].startswith("23.8")

    def test_metrics_are_those_of_the_evaluation(self, manifest: Any, trained: Any) -> None:
        text = (trained.stages["evaluate"] / "metrics.json").read_text()
        assert manifest["metrics"] == json.loads(text)

    def test_every_file_with_its_checksum(self, manifest: Any, trained: Any) -> None:
        held = {
            str(path.relative_to(trained.bundle)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in trained.bundle.rglob("*")
            if path.is_file() and path.name != "manifest.json"
        }
        assert {name: told["sha256"] for name, told in manifest["files"].items()} == held
        assert {name.partition("/")[0] for name in held} == {
            *("query_tower", "item_tower", "workflow"),
            *("user_features.parquet", "item_features.parquet"),
            *("item_embeddings.parquet", "seen_items.parquet"),
            *("query_tower_raw", "onnx", "tables", "index", "feast"),
        }

    def test_features_say_what_the_towers_take(self, manifest: Any) -> None:
        assert list(manifest["query_features"]) == ["user_id", "age", "segment"]
        tags = manifest["item_features"]["tags"]
        assert tags["list"]
        assert tags["dtype"] == "int32"
        age = manifest["query_features"]["age"]
        assert (age["dtype"], age["list"], age["ids"]) == ("float32", False, None)

    def test_rows_and_parity(self, manifest: Any, trained: Any) -> None:
        users = pl.read_parquet(trained.bundle / "user_features.parquet")
        items = pl.read_parquet(trained.bundle / "item_features.parquet")
        assert manifest["rows"] == {"users": users.height, "items": items.height}
        parity = manifest["parity"]
        assert max(parity["max_abs_difference"].values()) <= parity["tolerance"]
        assert set(parity["max_abs_difference"]) == {"query_tower", "item_tower"}

    def test_no_text_names_where_it_was_made(self, trained: Any) -> None:
        for path in trained.bundle.rglob("*"):
            if path.suffix in (".json", ".pbtxt", ".txt"):
                assert str(trained.out) not in path.read_text(), path


class TestFiles:
    def test_embeddings_as_merlin_writes_them(self, trained: Any, live: Any) -> None:
        data, retriever = live
        table = pl.read_parquet(trained.bundle / "item_embeddings.parquet")
        assert table.columns == ["item_id", *map(str, range(8))]
        assert table["item_id"].to_list() == list(range(3, data.items.height + 3))
        assert table.drop("item_id").dtypes == [pl.Float32] * 8
        expected = retriever.embed_items(data.items)
        np.testing.assert_allclose(table.drop("item_id").to_numpy(), expected, atol=1e-6)

    def test_seen_items_are_of_all_splits(self, trained: Any) -> None:
        processed = trained.stages["process"]
        expected: dict[int, set[int]] = {}
        for split in ("train", "validation", "test"):
            rows = pl.read_parquet(processed / split / "*.parquet")
            for user, item in rows.select("user_id", "item_id").iter_rows():
                if user > 2 and item > 2:
                    expected.setdefault(user, set()).add(item)
        table = pl.read_parquet(trained.bundle / "seen_items.parquet")
        found = {row["user_id"]: row["item_id"] for row in table.iter_rows(named=True)}
        assert {user: set(items) for user, items in found.items()} == expected
        assert all(len(items) == len(set(items)) for items in found.values())


LOAD = """
import sys
for name in ("merlin", "nvtabular", "tf_keras", "towermill", "keras"):
    sys.modules[name] = None
import numpy as np, tensorflow as tf
for tower in ("query_tower", "item_tower"):
    given = dict(np.load(f"{tower}.npz"))
    expected = given.pop("expected")
    module = tf.saved_model.load(f"BUNDLE/{tower}")
    serve = module.signatures["serving_default"]
    found = serve(**{name: tf.constant(value) for name, value in given.items()})["embedding"]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    print(tower, found.shape)
"""


class TestSavedModels:
    def test_equal_the_live_model_with_tensorflow_alone(
        self,
        trained: Any,
        live: Any,
        tmp_path: Path,
        python: Callable[..., subprocess.CompletedProcess[str]],
    ) -> None:
        from towermill.models.data.batches.from_frame import to_batch

        data, retriever = live
        rows = data.scan("test").head(20).collect()
        queries, items = retriever.embed_queries(rows), retriever.embed_items(data.items)
        for name, schema, frame, expected in (
            ("query_tower", data.query_schema, rows, queries),
            ("item_tower", data.item_schema, data.items, items),
        ):
            np.savez(tmp_path / f"{name}.npz", expected=expected, **to_batch(frame, schema))
        said = python(LOAD.replace("BUNDLE", str(trained.bundle))).stdout
        assert said == f"query_tower (20, 8)\nitem_tower ({data.items.height}, 8)\n"


class Spoilt:
    """A retriever of which one method's result is changed."""

    def __init__(self, retriever: Any, method: str, change: Callable[[Any], Any]) -> None:
        self._retriever, self._method, self._change = retriever, method, change

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._retriever, name)
        if name != self._method:
            return found
        return lambda *args: self._change(found(*args))


class TestRefused:
    @pytest.mark.parametrize(
        ("method", "change", "match"),
        [
            ("embed_items", lambda e: e * np.nan, "Expected finite item embeddings"),
            ("embed_items", lambda e: e + np.inf, "Expected finite item embeddings"),
            ("embed_items", lambda e: e + 0.01, "reloaded item_tower differs .* by 0.01"),
            ("embed_queries", lambda e: e + 0.01, "reloaded query_tower differs .* by 0.01"),
            ("embed_queries", lambda e: e * np.nan, "reloaded query_tower differs"),
        ],
    )
    def test_is_not_published(
        self,
        trained: Any,
        live: Any,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        method: str,
        change: Any,
        match: str,
    ) -> None:
        data, retriever = live
        spoilt = Spoilt(retriever, method, change)
        monkeypatch.setattr(export, "load_model", lambda *_: (data, spoilt))
        with pytest.raises(BundleError, match=match):
            export.export_bundle(trained.stages, trained.recipe, tmp_path / "bundle")
        assert not (tmp_path / "bundle" / "manifest.json").exists()
