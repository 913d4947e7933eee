"""Checkpoints: whole or not there."""

from __future__ import annotations

from pathlib import Path

import pytest
import tensorflow as tf

from towermill.errors import DataError
from towermill.models.training.checkpoints import Checkpoints, TrainState


class Thing:
    """A variable with its checkpoints."""

    def __init__(self, folder: Path, value: float = 0.0) -> None:
        self.weight = tf.Variable([value] * 100)
        self.checkpoints = Checkpoints(folder / "checkpoints", weight=self.weight)

    def save(self, value: float, state: TrainState) -> None:
        self.weight.assign([value] * 100)
        self.checkpoints.save(state)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


class TestCheckpoints:
    def test_nothing_there(self, tmp_path: Path) -> None:
        assert Thing(tmp_path).checkpoints.restore() is None
        (tmp_path / "checkpoints").mkdir()
        assert Thing(tmp_path).checkpoints.restore() is None

    def test_comes_back_whole(self, tmp_path: Path) -> None:
        state = TrainState(2, 7, 0.1 + 0.2, 0.5, 1, [{"epoch": 1, "loss": 1 / 3}])
        Thing(tmp_path).save(4.0, state)
        thing = Thing(tmp_path)
        assert thing.checkpoints.restore() == state
        assert thing.weight.numpy().tolist() == [4.0] * 100

    def test_newest_is_kept_and_wins(self, tmp_path: Path) -> None:
        thing = Thing(tmp_path)
        for value, state in enumerate([TrainState(9, 0), TrainState(9, 10), TrainState(10, 0)]):
            thing.save(float(value), state)
        assert names(tmp_path) == ["00010-00000000"]
        assert Thing(tmp_path).checkpoints.restore() == TrainState(10, 0)

    def test_killed_before_the_older_one_was_deleted(self, tmp_path: Path) -> None:
        thing = Thing(tmp_path)
        thing.save(1.0, TrainState(1, 0))
        older = tmp_path / "checkpoints" / "00001-00000000"
        older.rename(tmp_path / "kept")
        thing.save(2.0, TrainState(1, 20))
        (tmp_path / "kept").rename(older)
        assert Thing(tmp_path).checkpoints.restore() == TrainState(1, 20)

    def test_partial_ones_do_not_count(self, tmp_path: Path) -> None:
        thing = Thing(tmp_path)
        thing.save(1.0, TrainState(1, 0))
        partial = tmp_path / "checkpoints" / "00002-00000000.partial"
        partial.mkdir()
        (partial / "weights.index").write_text("cut off")
        assert Thing(tmp_path).checkpoints.restore() == TrainState(1, 0)
        thing.save(2.0, TrainState(2, 0))
        assert names(tmp_path) == ["00002-00000000"]

    @pytest.mark.parametrize("file", ["weights.index", "weights.data*", "state.json"])
    @pytest.mark.parametrize("keep", [0, 20, None])
    def test_damaged_says_what_to_do(self, file: str, keep: int | None, tmp_path: Path) -> None:
        Thing(tmp_path).save(1.0, TrainState(1, 0))
        path = next((tmp_path / "checkpoints" / "00001-00000000").glob(file))
        if keep is None:
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[:keep])
        with pytest.raises(DataError, match=r"Delete .*checkpoints to train from the beginning"):
            Thing(tmp_path).checkpoints.restore()

    def test_of_another_model(self, tmp_path: Path) -> None:
        Thing(tmp_path).save(1.0, TrainState(1, 0))
        other = Checkpoints(tmp_path / "checkpoints", bias=tf.Variable(0.0))
        with pytest.raises(DataError, match="of another model"):
            other.restore()
