"""Towers as ONNX: the graph that tf2onnx makes, with and without its copies."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from towermill.pipelines.export.onnx import write_onnx


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SavedModel that doubles its input."""
    import tensorflow as tf

    class Doubled(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, name="x")])
        def call(self, x: Any) -> Any:
            return {"embedding": tf.transpose(tf.transpose(x)) * 2.0}

    folder = tmp_path_factory.mktemp("saved")
    module = Doubled()
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.call})
    return folder


def doubled(path: Path) -> np.ndarray:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    (found,) = onnxruntime.InferenceSession(str(path)).run(["embedding"], {"x": x})
    np.testing.assert_array_equal(found, 2 * x)
    return path.read_bytes()


def test_leaves_the_environment_as_it_was(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF2ONNX_CATCH_ERRORS", "mine")
    write_onnx(saved, tmp_path / "one.onnx")
    assert os.environ["TF2ONNX_CATCH_ERRORS"] == "mine"
    doubled(tmp_path / "one.onnx")


def test_a_pass_that_fails_is_left_out(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tf2onnx import optimizer

    class Failing(optimizer.IdentityOptimizer):
        def _optimize(self, graph: Any) -> Any:
            raise RuntimeError("on purpose")

    monkeypatch.setitem(optimizer._optimizers, "loop_optimizer", Failing)
    write_onnx(saved, tmp_path / "one.onnx")
    assert "TF2ONNX_CATCH_ERRORS" not in os.environ
    doubled(tmp_path / "one.onnx")


def test_names_with_capitals(tmp_path: Path) -> None:
    """TensorFlow makes the names of placeholders lower case."""
    import tensorflow as tf

    names = ["Zeta", "alpha", "Price_EUR", "Beta__values", "x"]

    class Digits(tf.Module):
        def call(self, **inputs: Any) -> Any:
            return {"embedding": sum(inputs[n] * 10.0**i for i, n in enumerate(names))}

    module = Digits()
    specs = {name: tf.TensorSpec([None, 1], tf.float32, name=name) for name in names}
    serve = tf.function(module.call).get_concrete_function(**specs)
    tf.saved_model.save(module, str(tmp_path / "saved"), signatures=serve)
    write_onnx(tmp_path / "saved", tmp_path / "one.onnx")
    values = {name: np.full((1, 1), i + 1, np.float32) for i, name in enumerate(names)}
    session = onnxruntime.InferenceSession(str(tmp_path / "one.onnx"))
    assert session.run(["embedding"], values)[0].item() == 54321
