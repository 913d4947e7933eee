"""Whole runs through the command line, each in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., subprocess.CompletedProcess[str]]
ALL = ["prepare", "process", "train", "evaluate", "export"]
RECIPE = """
source: {kind: synthetic, users: 200, items: 60, interactions: 4000, cold_items: 0.0}
model: {tower: [8], dropout: 0.1}
train: {epochs: 2, batch_size: 256, learning_rate: 0.01}
evaluate: {k: [5, 10]}
"""
#: As the script `towermill` does; then say what is imported.
MAIN = """
import sys
from towermill.cli.app import main
code = 0
try:
    main()
except SystemExit as end:
    code = end.code or 0
imported = [name for name in ("tensorflow", "merlin", "polars") if name in sys.modules]
print("imported:", *imported, file=sys.stderr)
sys.exit(code)
"""


def command(*arguments: str | Path, folder: Path, **options: Any) -> Any:
    # What runs in this process have set.
    ours = ("TF_USE_LEGACY_KERAS", "TF_CPP_MIN_LOG_LEVEL")
    environment = {k: v for k, v in os.environ.items() if k not in ours}
    return subprocess.Popen(
        [sys.executable, "-c", MAIN, *map(str, arguments)],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@pytest.fixture(scope="module")
def towermill() -> Command:
    """Run ``towermill`` in a process of its own."""

    def call(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
        with command(*arguments, folder=folder) as process:
            out, err = process.communicate(timeout=200)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    return call


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, towermill: Command) -> tuple[Path, Any]:
    """A folder with the recipe and its runs, and what the first run printed."""
    folder = tmp_path_factory.mktemp("world")
    (folder / "tiny.yaml").write_text(RECIPE)
    done = towermill("run", "tiny.yaml", "--json", folder=folder)
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


class TestSynthetic:
    def test_json_of_the_first_run(self, world: Any) -> None:
        folder, result = world
        assert result["recipe"] == "tiny"
        assert result["ran"] == ALL
        assert list(result["stages"]) == ALL
        assert result["bundle"] == "runs/tiny/latest/bundle"
        assert result["metrics"]["protocol"] == "catalogue"
        for path in (result["bundle"], *result["stages"].values()):
            assert (folder / path / "manifest.json").is_file()

    def test_it_learned(self, world: Any) -> None:
        metrics = world[1]["metrics"]
        assert metrics["metrics"]["recall@10"] > 1.2 * metrics["baselines"]["random"]["recall@10"]

    def test_second_run_runs_nothing_and_imports_little(
        self, world: Any, towermill: Command
    ) -> None:
        folder, result = world
        done = towermill("run", "tiny.yaml", "--json", folder=folder)
        assert done.returncode == 0
        assert json.loads(done.stdout) == {**result, "ran": []}
        imported = done.stderr.splitlines()[-1].split()[1:]
        assert "tensorflow" not in imported
        assert "merlin" not in imported

    def test_plan_says_why(self, world: Any, cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(world[0])
        said = cli("plan", "tiny.yaml", "--set", "train.epochs=1", "--json")
        assert said.code == 0
        assert {s["stage"]: s["reason"] for s in json.loads(said.out)} == {
            "prepare": "done",
            "process": "done",
            "train": "train.epochs: 2 → 1",
            "evaluate": "train runs",
            "export": "train runs",
        }
        table = cli("plan", "tiny.yaml", "--set", "train.epochs=1").out.splitlines()
        assert table[0].split() == ["stage", "runs", "why"]
        assert table[4].split(maxsplit=2) == ["train", "yes", "train.epochs: 2 → 1"]

    def test_fewer_epochs_run_what_follows_only(
        self, world: Any, cli: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(world[0])
        said = cli("run", "tiny.yaml", "--set", "train.epochs=1", "--json", "--out", "runs")
        result = json.loads(said.out)
        assert said.code == 0
        assert result["ran"] == ["train", "evaluate", "export"]
        assert result["stages"]["process"] == world[1]["stages"]["process"]
        history = json.loads((Path(result["stages"]["train"]) / "history.json").read_text())
        assert len(history["history"]) == 1

    def test_recommend(self, world: Any, cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(world[0])
        said = cli("recommend", "runs/tiny/latest/bundle", "--user", "5", "-k", "3", "--json")
        assert said.code == 0
        items = json.loads(said.out)
        assert len(items) == 3
        assert {"item_id", "title", "score"} <= set(items[0])
        table = cli("recommend", "runs/tiny/latest/bundle", "--user", "5", "-k", "3").out
        assert items[0]["title"] in table

    def test_unknown_user(self, world: Any, cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(world[0])
        said = cli("recommend", "runs/tiny/latest/bundle", "--user", "nobody", "--json")
        assert said.code == 0
        assert len(json.loads(said.out)) == 10
        assert "User 'nobody' is not known to this bundle" in said.err

    def test_metrics_are_printed(
        self, world: Any, cli: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(world[0])
        said = cli("run", "tiny.yaml")
        assert "Nothing to run" in said.err
        header, *rows = said.out.splitlines()
        metrics = world[1]["metrics"]
        deciding = metrics["compared"]["metric"]
        assert header.rstrip().endswith("95 % interval")
        assert f"{deciding}   model is better by" in header
        shown = {row.split()[0]: row.split()[1] for row in rows[1:5]}
        columns = {"model": metrics["metrics"], **metrics["baselines"]}
        assert shown == {name: f"{values[deciding]:.4f}" for name, values in columns.items()}
        assert rows[-2:] == [
            "bundle: runs/tiny/latest/bundle",
            "report: runs/tiny/latest/report.html (all metrics, slices, curves)",
        ]


class TestTable:
    def test_string_ids_and_no_timestamps(
        self, shop: Any, towermill: Command, cli: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(shop.folder)
        del shop.interactions["timestamp"]
        shop.content["split"] = {"kind": "random", "by": "user"}
        made = cli("run", shop.recipe(), "--json")
        assert made.code == 0, made.err
        result = json.loads(made.out)
        assert result["ran"] == ALL
        done = towermill(
            *("recommend", result["bundle"], "--user", "r3", "-k", "2", "--keep-seen", "--json"),
            folder=shop.folder,
        )
        assert done.returncode == 0, done.stderr
        for item in json.loads(done.stdout):
            assert set(item) == {"item_id", "genre", "year", "score"}
        assert done.stderr == "imported:\n"


class TestKilledInTraining:
    """Kill -9 after the first epochs; the same command goes on to the very same history."""

    EPOCHS = 5

    def recipe(self, folder: Path) -> Path:
        path = folder / "tiny.yaml"
        path.write_text(
            RECIPE.replace("epochs: 2", f"epochs: {self.EPOCHS}, patience: 0").replace(
                "interactions: 4000", "interactions: 12000"
            )
        )
        return path

    def test_goes_on_from_the_last_checkpoint(self, tmp_path: Path, cli: Any) -> None:
        arguments = ("run", self.recipe(tmp_path), "--to", "train", "--out")
        with command(*arguments, "runs", folder=tmp_path) as process:
            deadline = time.monotonic() + 150
            while not self.checkpoints(tmp_path) and process.poll() is None:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
            _, err = process.communicate()
        assert process.returncode == -signal.SIGKILL, err
        assert not list(tmp_path.glob("runs/tiny/train/*/manifest.json"))
        # What is finished before is a good start for the run without a kill, too.
        shutil.copytree(tmp_path / "runs", tmp_path / "other")
        shutil.rmtree(tmp_path / "other/tiny/train")

        done = cli(*arguments, tmp_path / "runs")
        assert done.code == 0
        assert "train: running (was cut off)" in done.err
        assert "resuming after epoch" in done.err
        assert "process: running" not in done.err
        resumed = self.history(tmp_path / "runs")
        assert [record["epoch"] for record in resumed["history"]] == [*range(1, self.EPOCHS + 1)]

        assert cli(*arguments, tmp_path / "other").code == 0
        whole = self.history(tmp_path / "other")
        assert whole["best_epoch"] == resumed["best_epoch"]
        for one, other in zip(resumed["history"], whole["history"], strict=True):
            assert one["loss"] == pytest.approx(other["loss"], rel=1e-5)
            assert one["metrics"] == pytest.approx(other["metrics"], rel=1e-4)

    @staticmethod
    def checkpoints(folder: Path) -> list[Path]:
        found = folder.glob("runs/tiny/train/*.partial/checkpoints/*")
        return [p for p in found if p.suffix != ".partial"]

    @staticmethod
    def history(out: Path) -> Any:
        (path,) = out.glob("tiny/train/*/history.json")
        return json.loads(path.read_text())
