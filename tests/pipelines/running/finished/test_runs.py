"""The list of runs, and which outputs a clean-up removes."""

from __future__ import annotations

import fcntl
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from towermill.pipelines import run
from towermill.pipelines.running.execute import in_use
from towermill.pipelines.running.finished.runs import list_runs, remove, unused


@pytest.fixture
def two_runs(fakes: Any, tmp_path: Path) -> Path:
    """Two runs of a recipe, the second with another train, evaluate and export."""
    run(fakes.recipe, tmp_path)
    train = fakes.recipe.train.model_copy(update={"epochs": 3})
    run(fakes.recipe.model_copy(update={"train": train}), tmp_path)
    return tmp_path


class TestList:
    def test_newest_first(self, two_runs: Path) -> None:
        found = list_runs(two_runs)
        assert [row.latest for row in found] == [True, False]
        assert found[0].finished > found[1].finished
        assert {row.recipe for row in found} == {"tiny"}
        assert [row.value for row in found] == [None, None]  # these stages measure nothing

    def test_of_a_trained_run(self, trained: Any, cli: Any) -> None:
        said = cli("runs", "--out", trained.out, "--json")
        (row,) = json.loads(said.out)
        metrics = json.loads((trained.latest / "evaluate" / "metrics.json").read_text())
        assert row["metric"] == "ndcg@5"
        assert row["value"] == metrics["metrics"]["ndcg@5"]
        assert row["path"] == str(trained.latest.parent / "by-run" / row["key"])
        assert f"{row['value']:.4f}" in cli("runs", "--out", trained.out).out

    def test_none(self, cli: Any, tmp_path: Path) -> None:
        said = cli("runs", "--out", tmp_path)
        assert said.code == 0
        assert "No finished runs" in said.err


class TestClean:
    def test_removes_what_the_latest_run_does_not_need(self, two_runs: Path, cli: Any) -> None:
        root = two_runs / "tiny"
        latest = (root / "latest").resolve()
        going = unused(two_runs)
        assert sorted(path.parent.name for path in going) == [
            *("by-run", "evaluate", "export", "train")
        ]
        said = cli("runs", "--out", two_runs, "--clean", "--dry-run")
        assert said.out.splitlines() == [str(path) for path in going]
        assert all(path.is_dir() for path in going)
        assert cli("runs", "--out", two_runs, "--clean").code == 2  # no terminal to ask at
        assert cli("runs", "--out", two_runs, "--clean", "--yes").code == 0
        assert not any(path.exists() for path in going)
        assert (root / "latest").resolve() == latest
        assert all((latest / name / "output").is_file() for name in ("prepare", "train", "export"))
        assert unused(two_runs) == []

    def test_keeps_what_a_continued_run_was_made_from(self, two_runs: Path) -> None:
        old = next(path for path in unused(two_runs) if path.parent.name == "train")
        other = two_runs / "other"
        shutil.copytree(two_runs / "tiny", other, symlinks=True)
        file = other / "latest" / "train" / "manifest.json"
        manifest = json.loads(file.read_text())
        manifest["inputs"]["earlier.train"] = str(old)
        file.write_text(json.dumps(manifest))
        assert old not in unused(two_runs)

    def test_leaves_recipes_alone_that_are_running(
        self, two_runs: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        with next((two_runs / "tiny" / ".locks").iterdir()).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            assert unused(two_runs) == []
        assert "tiny is running: nothing of it is removed" in caplog.text
        assert unused(two_runs) != []

    def test_leaves_alone_a_run_between_two_stages(self, two_runs: Path) -> None:
        with in_use(two_runs / "tiny"):
            assert unused(two_runs) == []

    def test_leaves_other_folders_alone(self, two_runs: Path) -> None:
        """A folder of other things may have a `latest`, a `train` and an `export` too."""
        for name in ("latest", "train/images", "export/v1"):
            (two_runs / "models" / name).mkdir(parents=True)
        assert not any(path.is_relative_to(two_runs / "models") for path in unused(two_runs))

    def test_leaves_unfinished_outputs_and_files_alone(self, two_runs: Path) -> None:
        (two_runs / "tiny" / "train" / "abc.partial").mkdir()
        (two_runs / "tiny" / "by-run" / ".DS_Store").touch()
        (two_runs / "tiny" / "by-run" / "notes").touch()
        assert {path.name for path in unused(two_runs)}.isdisjoint({"abc.partial", "notes"})

    def test_leaves_recipes_alone_without_a_finished_run(self, fakes: Any, tmp_path: Path) -> None:
        fakes.failing = "train"
        with pytest.raises(RuntimeError):
            run(fakes.recipe, tmp_path)
        assert unused(tmp_path) == []

    def test_a_run_after_it_makes_again_what_is_gone(self, two_runs: Path, fakes: Any) -> None:
        remove(unused(two_runs))
        fakes.taken()
        run(fakes.recipe, two_runs)
        assert fakes.taken() == ["train", "evaluate", "export"]
