"""Bundles of someone else: nothing of them is executed, followed or expanded without a limit."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import polars as pl
import pytest
import tensorflow as tf
from onnx import TensorProto, helper

from towermill.errors import BundleError
from towermill.features.inputs import ModelInput, RawEncoding
from towermill.pipelines import Bundle
from towermill.pipelines.bundle.manifest import (
    content_id,
    files_of,
    load_manifest,
    parse_manifest,
    save_manifest,
)
from towermill.pipelines.bundle.raw_features import read_vocabulary
from towermill.pipelines.bundle.time_limit import TimeLimit
from towermill.pipelines.bundle.towers import Tower
from towermill.pipelines.gates.operators import check_operators


@pytest.fixture
def copy(trained: Any, tmp_path: Path) -> Path:
    shutil.copytree(trained.bundle, tmp_path / "bundle")
    return tmp_path / "bundle"


def sealed(bundle: Path) -> None:
    """Write the manifest for the files that are in the folder now, as an attacker would."""
    manifest, files = parse_manifest(bundle), files_of(bundle)
    save_manifest(bundle, replace(manifest, files=files, id=content_id(files)))


class TestPaths:
    def test_link_out_of_the_bundle(self, copy: Path, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("secret")
        (copy / "item_tower" / "assets").mkdir(exist_ok=True)
        (copy / "item_tower" / "assets" / "x").symlink_to(tmp_path / "secret")
        sealed(copy)
        with pytest.raises(BundleError, match="'item_tower/assets/x' leads out of it"):
            Bundle.open(copy)

    def test_linked_folder(self, copy: Path, tmp_path: Path) -> None:
        (tmp_path / "secrets").mkdir()
        (copy / "more").symlink_to(tmp_path / "secrets")
        with pytest.raises(BundleError, match="'more' leads out of it"):
            Bundle.open(copy)

    def test_link_within_it(self, copy: Path) -> None:
        (copy / "again.parquet").symlink_to("item_features.parquet")
        Bundle.open(copy)

    def test_link_to_the_bundle(self, copy: Path, tmp_path: Path) -> None:
        (tmp_path / "latest").symlink_to(copy)
        assert Bundle.open(tmp_path / "latest").recommend(k=3).items

    @pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "item_tower/../../secret"])
    def test_path_out_of_the_bundle(self, copy: Path, tmp_path: Path, name: str) -> None:
        (tmp_path / "secret").write_text("secret")
        manifest = parse_manifest(copy)
        one = next(iter(manifest.files.values()))
        save_manifest(copy, replace(manifest, files={**manifest.files, name: one}))
        with pytest.raises(BundleError, match="leads out of it"):
            load_manifest(copy)

    def test_vocabulary_elsewhere(self, copy: Path) -> None:
        manifest = parse_manifest(copy)
        raw = RawEncoding("category", vocabulary="../secret.parquet", type="int64")
        features = {**manifest.query_features, "x": ModelInput("int32", False, 9, raw)}
        save_manifest(copy, replace(manifest, query_features=features))
        with pytest.raises(BundleError, match=r"vocabularies among its files.*secret"):
            load_manifest(copy)


class TestSizes:
    def test_manifest(self, copy: Path) -> None:
        with (copy / "manifest.json").open("a") as file:
            file.write(" " * (17 << 20))
        with pytest.raises(BundleError, match=r"at most 16 MiB\. Its size is 17 MiB"):
            Bundle.open(copy)

    def test_vocabulary_that_expands(self, tmp_path: Path) -> None:
        path = tmp_path / "unique.x.parquet"
        table = pl.DataFrame({"x": ["a" * 1_000_000]}).select(
            pl.col("x").repeat_by(300).explode(), x_size=pl.lit(1)
        )
        table.write_parquet(path)
        assert path.stat().st_size < 1 << 20
        start = time.process_time()
        with pytest.raises(BundleError, match="expands to over 64 times its size"):
            read_vocabulary(path)
        assert time.process_time() - start < 5

    def test_honest_vocabulary(self, tmp_path: Path) -> None:
        values = [f"user-{i:09}" for i in range(200_000)]
        pl.DataFrame({"x": values, "x_size": 1}).write_parquet(tmp_path / "v.parquet")
        assert read_vocabulary(tmp_path / "v.parquet") == values

    def test_no_vocabulary(self, tmp_path: Path) -> None:
        pl.DataFrame({"x": [1]}).write_parquet(tmp_path / "v.parquet")
        with pytest.raises(BundleError, match="should be the Parquet file of a vocabulary"):
            read_vocabulary(tmp_path / "v.parquet")


def endless(path: Path) -> None:
    """Write an ONNX graph of one input, ``v``, that loops forever."""
    number, scalar = TensorProto.FLOAT, helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["going"]), helper.make_node("Neg", ["x"], ["y"])],
        "body",
        [
            scalar("i", TensorProto.INT64, []),
            scalar("go", TensorProto.BOOL, []),
            scalar("x", number, [None]),
        ],
        [scalar("going", TensorProto.BOOL, []), scalar("y", number, [None])],
    )
    graph = helper.make_graph(
        [helper.make_node("Loop", ["", "yes", "v"], ["out"], body=body)],
        "graph",
        [scalar("v", number, [None])],
        [scalar("out", number, [None])],
        [helper.make_tensor("yes", TensorProto.BOOL, [], [True])],
    )
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)


class TestTime:
    def test_endless_graph(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        endless(tmp_path / "tower.onnx")
        limit = TimeLimit(0.3)
        monkeypatch.setattr("towermill.pipelines.bundle.towers.TIME_LIMIT", limit)
        features = {"v": ModelInput("float32", False, None, RawEncoding("number"))}
        tower = Tower(tmp_path / "tower.onnx", features)
        for _ in range(2):
            with pytest.raises(BundleError, match=r"answer within 0\.3 seconds"):
                tower({"v": np.zeros(3, np.float32)})

    def test_calls_within_the_limit(self, trained: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("towermill.pipelines.bundle.towers.TIME_LIMIT", TimeLimit(0.5))
        bundle = Bundle.open(trained.bundle)
        for _ in range(3):
            bundle.embed_users(np.arange(5))
            time.sleep(0.3)


class TestOperators:
    def saved(self, folder: Path, body: Any) -> Path:
        class Module(tf.Module):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.weights = tf.Variable([2.0])

            @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
            def call(self, x: Any) -> Any:
                return body(self.weights * x, folder)

        module = Module()
        tf.saved_model.save(module, str(folder / "model"), signatures=module.call)
        return folder / "model"

    def test_weights_alone(self, tmp_path: Path) -> None:
        check_operators(self.saved(tmp_path, lambda x, _: tf.nn.dropout(x, 0.5)))

    @pytest.mark.parametrize("part", ["query_tower", "item_tower", "query_tower_raw"])
    def test_our_own(self, trained: Any, part: str) -> None:
        check_operators(trained.bundle / part)

    @pytest.mark.parametrize(
        ("operator", "body"),
        [
            ("WriteFile", lambda x, out: _after(x, tf.io.write_file(f"{out}/ran", "yes"))),
            ("ReadFile", lambda x, out: _after(x, tf.io.read_file(f"{out}/secret"))),
            ("MatchingFiles", lambda x, out: _after(x, tf.io.matching_files("/etc/*"))),
            ("EagerPyFunc", lambda x, _: tf.py_function(lambda y: y, [x], tf.float32)),
            ("SaveV2", lambda x, out: _after(x, _save(x, out))),
        ],
    )
    def test_more_than_computing(self, tmp_path: Path, operator: str, body: Any) -> None:
        path = self.saved(tmp_path, body)
        with pytest.raises(BundleError, match=f"its operator {operator} can do more"):
            check_operators(path)
        assert not (tmp_path / "ran").exists()

    def test_nested_in_a_condition(self, tmp_path: Path) -> None:
        def body(x: Any, out: Path) -> Any:
            written = tf.io.write_file
            return tf.cond(
                tf.reduce_sum(x) > 0,
                lambda: _after(x, written(f"{out}/ran", "yes")),
                lambda: x,
            )

        with pytest.raises(BundleError, match="WriteFile"):
            check_operators(self.saved(tmp_path, body))

    def test_damaged(self, tmp_path: Path) -> None:
        (tmp_path / "saved_model.pb").write_bytes(b"not a model")
        with pytest.raises(BundleError, match="should be a SavedModel"):
            check_operators(tmp_path)


def _after(x: Any, done: Any) -> Any:
    with tf.control_dependencies([done]):
        return tf.identity(x)


def _save(x: Any, out: Path) -> Any:
    return tf.raw_ops.SaveV2(
        prefix=f"{out}/ran", tensor_names=["x"], shape_and_slices=[""], tensors=[x]
    )
