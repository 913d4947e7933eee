"""Large tables stand on the host: two processors of one, of which the second plays the GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from towermill.errors import RecipeError
from towermill.models.configs.train import TrainConfig
from towermill.models.layers.placement import tables_in_host
from towermill.models.training.train import _check_placement
from towermill.runtime import gpu as gpu

TRAINING = """
import json, sys
from pathlib import Path
from towermill.runtime.device import resolve, seed_everything
resolve("cpu")
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from towermill.runtime import gpu
from towermill.models.training import fit as training
from towermill.models.build import build_model, open_data
from towermill.models.configs.train import TrainConfig
from towermill.models.configs.two_tower import TwoTowerConfig
from towermill.models.data.batches.interaction import InteractionBatches
from towermill.models.layers.placement import in_host

data = open_data(Path(sys.argv[1]))
found = {}
for optimizer in ("adam", "lazy_adam"):
    for limit in (0, 200):  # bytes: all tables of ids are larger, no dense layer is a table
        seed_everything(3, tensorflow=True)
        gpu._claimed["host_tables"] = limit
        config = TrainConfig(optimizer=optimizer, batch_size=64, epochs=2, tensorboard=False)
        with tf.device("/CPU:1"):
            model = build_model(data, TwoTowerConfig(tower=(), embedding_dim=8), seed=3)
            batches = InteractionBatches(data, batch_size=64, seed=3)
            state = training.fit(model, batches, config, Path(sys.argv[2]) / f"{optimizer}{limit}")
        losses = [record["loss"] for record in state.history]
        found[f"{optimizer} {limit}"] = [in_host(model.model), losses]
print(json.dumps(found))
"""


class TestTables:
    @pytest.mark.parametrize(
        ("shape", "limit", "placed"),
        [
            ((100, 4), 1599, True),
            ((100, 4), 1600, False),
            ((100, 4), 0, False),
            ((4000,), 8, False),
        ],
    )
    def test_by_size(
        self, shape: tuple[int, ...], limit: int, placed: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level("INFO", "towermill.models.layers.placement"), tables_in_host(limit):
            made = tf.Variable(tf.ones(shape))
            layer = tf.keras.layers.Embedding(100, 4)
            layer.build(())
        told = [r.getMessage() for r in caplog.records]
        assert made.shape == shape
        assert ("a table of 100 rows (0.00 GiB) stays in the host's memory" in told) is (
            placed or 0 < limit < 1600
        )

    def test_nothing_is_placed_behind_the_block(self, caplog: pytest.LogCaptureFixture) -> None:
        with tables_in_host(1):
            pass
        with caplog.at_level("INFO", "towermill.models.layers.placement"):
            tf.Variable(tf.ones([10, 10]))
        assert caplog.records == []


def test_xla_does_not_reach_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "_claimed", {"host_tables": 8})
    with tf.device("/CPU:0"):
        layer = tf.keras.layers.Embedding(100, 4)
        layer.build(())
    model: Any = type("Model", (), {"model": layer})
    _check_placement(TrainConfig(), model)
    with pytest.raises(RecipeError, match=r"`train.xla` should be false, as embedding.*host's mem"):
        _check_placement(TrainConfig(xla=True), model)


@pytest.mark.slow
def test_training_is_the_same(id_world: Path, tmp_path: Path, python: Any) -> None:
    import json

    code = f"import sys; sys.argv[1:] = [{str(id_world)!r}, {str(tmp_path / 'fit')!r}]\n"
    found = json.loads(python(code + TRAINING).stdout.splitlines()[-1])
    for optimizer in ("adam", "lazy_adam"):
        (none, plain), (held, placed) = found[f"{optimizer} 0"], found[f"{optimizer} 200"]
        assert none == []
        assert len(held) >= 2
        assert placed == pytest.approx(plain, rel=1e-5)
        assert placed[-1] < placed[0]
