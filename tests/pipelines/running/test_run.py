"""The runner with stages that do nothing: each once, whole or not there, and gone on with."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from towermill.errors import DataError, RecipeError, SetupError, TowermillError
from towermill.pipelines import Recipe, Selection, plan, run, validate_recipe
from towermill.pipelines.running import execute as execution
from towermill.pipelines.running import plan as planning
from towermill.pipelines.running import run as runner
from towermill.runtime.code import Code

ALL = ["prepare", "process", "train", "evaluate", "export"]


def changed(recipe: Recipe, **sections: Any) -> Recipe:
    content = recipe.model_dump(mode="json")
    for name, section in sections.items():
        content[name] = {**content[name], **section}
    return validate_recipe(content)


def reasons(recipe: Recipe, out: Path, **selection: Any) -> dict[str, str]:
    return {s.stage.name: s.reason for s in plan(recipe, out, Selection(**selection))}


class TestOnce:
    def test_each_runs_once_in_order(self, fakes: Any, tmp_path: Path) -> None:
        steps = run(fakes.recipe, tmp_path)
        assert fakes.taken() == ALL
        for step in steps:
            assert (step.folder / "output").read_text() == step.stage.name

    def test_out_may_be_text(self, fakes: Any, tmp_path: Path) -> None:
        run(fakes.recipe, str(tmp_path))
        assert not any(step.runs for step in plan(fakes.recipe, str(tmp_path)))

    def test_second_run_runs_nothing(self, fakes: Any, tmp_path: Path) -> None:
        run(fakes.recipe, tmp_path)
        fakes.taken()
        steps = run(fakes.recipe, tmp_path)
        assert fakes.taken() == []
        assert [(s.runs, s.reason) for s in steps] == [(False, "done")] * 5

    def test_manifest(self, fakes: Any, tmp_path: Path) -> None:
        folder = run(fakes.recipe, tmp_path)[2].folder
        manifest = json.loads((folder / "manifest.json").read_text())
        assert set(manifest) == {
            *("stage", "key", "finished", "seconds", "towermill", "device", "made_from", "files"),
            *("inputs", "ingredients", "version", "reason", "peak_memory"),
        }
        assert manifest["stage"] == "train"
        assert manifest["key"] == folder.name
        assert manifest["reason"] == "process runs"
        assert manifest["peak_memory"] > 2**20
        assert manifest["ingredients"]["settings"]["train"]["epochs"] == 2

    def test_nothing_but_finished_folders_is_left(self, fakes: Any, tmp_path: Path) -> None:
        run(fakes.recipe, tmp_path)
        root = tmp_path / "tiny"
        assert sorted(p.name for p in root.iterdir()) == sorted(
            [*ALL, ".locks", "by-run", "latest"]
        )
        for name in ALL:
            assert len(list((root / name).iterdir())) == 1


class TestChanges:
    @pytest.mark.parametrize(
        ("sections", "again"),
        [
            ({"source": {"seed": 1}}, ALL),
            ({"filters": {"min_user": 2}}, ALL[1:]),
            ({"split": {"cold": "drop"}}, ALL[1:]),
            ({"features": {"item": {}}}, ALL[1:]),
            ({"model": {"tower": [4]}}, ALL[2:]),
            ({"train": {"epochs": 3}}, ALL[2:]),
            ({"runtime": {"seed": 3}}, ALL[2:]),
            ({"evaluate": {"k": [3]}}, ALL[3:]),
            ({"export": {"tolerance": 0.1}}, ALL[4:]),
            ({"runtime": {"device": "cpu"}}, []),
            ({"runtime": {"workers": 3, "rmm_pool": "8GB", "local_directory": "x"}}, []),
        ],
    )
    def test_only_what_follows_runs_again(
        self, fakes: Any, tmp_path: Path, sections: Any, again: list[str]
    ) -> None:
        run(fakes.recipe, tmp_path)
        fakes.taken()
        recipe = changed(fakes.recipe, **sections)
        assert [s.stage.name for s in plan(recipe, tmp_path) if s.runs] == again
        run(recipe, tmp_path)
        assert fakes.taken() == again
        # And back: what was finished then still stands.
        run(fakes.recipe, tmp_path)
        assert fakes.taken() == []

    def test_reasons(self, fakes: Any, tmp_path: Path) -> None:
        assert reasons(fakes.recipe, tmp_path)["prepare"] == "never run"
        run(fakes.recipe, tmp_path)
        found = reasons(changed(fakes.recipe, train={"epochs": 3}), tmp_path)
        assert found == {
            "prepare": "done",
            "process": "done",
            "train": "train.epochs: 2 → 3",
            "evaluate": "train runs",
            "export": "train runs",
        }

    def test_raw_file(self, fakes: Any, shop: Any, tmp_path: Path) -> None:
        recipe = validate_recipe({"name": "shop", **shop.content})
        run(recipe, tmp_path / "runs")
        fakes.taken()
        shop.write("films.csv", (tmp_path / "films.csv").read_text() + "f11,g1,2020\n")
        assert reasons(recipe, tmp_path / "runs")["prepare"] == "raw file films.csv changed"
        run(recipe, tmp_path / "runs")
        assert fakes.taken() == ALL

    def test_file_of_the_text(self, fakes: Any, tmp_path: Path) -> None:
        words = tmp_path / "words.txt"
        content = {"source": {"kind": "news"}, "split": {"kind": "given"}}
        content |= {"name": "news", "model": {"kind": "nrms"}, "text": {"words": str(words)}}
        recipe = validate_recipe(content)
        with pytest.raises(DataError, match=r"Cannot read the raw file .*words\.txt"):
            run(recipe, tmp_path / "runs")
        assert fakes.taken() == []
        words.write_text("a 1 2\n")
        run(recipe, tmp_path / "runs")
        assert fakes.taken() == ALL
        words.write_text("a 2 1\n")
        assert reasons(recipe, tmp_path / "runs")["process"] == "raw file words.txt changed"

    def test_code(self, fakes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        run(fakes.recipe, tmp_path)
        fakes.taken()
        before = planning.code_of

        def changed(*roots: str) -> Code:
            code = before(*roots)
            own = "towermill.pipelines.stages.evaluate" in roots
            return replace(code, version="new") if own else code

        for module in (planning, execution):
            monkeypatch.setattr(module, "code_of", changed)
        assert reasons(fakes.recipe, tmp_path)["evaluate"] == "code changed"
        run(fakes.recipe, tmp_path)
        assert fakes.taken() == ["evaluate", "export"]


class TestSelection:
    def test_to(self, fakes: Any, tmp_path: Path) -> None:
        run(fakes.recipe, tmp_path, Selection(last="process"))
        assert fakes.taken() == ["prepare", "process"]
        run(fakes.recipe, tmp_path)
        assert fakes.taken() == ALL[2:]

    def test_from_needs_what_is_before(self, fakes: Any, tmp_path: Path) -> None:
        with pytest.raises(RecipeError, match=r"'prepare' comes before 'train' and is not done"):
            run(fakes.recipe, tmp_path, Selection(first="train"))
        assert fakes.taken() == []

    def test_only(self, fakes: Any, tmp_path: Path) -> None:
        run(fakes.recipe, tmp_path, Selection(last="process"))
        fakes.taken()
        run(fakes.recipe, tmp_path, Selection("train", "train"))
        assert fakes.taken() == ["train"]
        assert reasons(fakes.recipe, tmp_path, last="train")["export"] == "not asked for"

    def test_force_runs_what_follows_as_well(self, fakes: Any, tmp_path: Path) -> None:
        run(fakes.recipe, tmp_path)
        fakes.taken()
        run(fakes.recipe, tmp_path, Selection(force=("train",)))
        assert fakes.taken() == ["train", "evaluate", "export"]

    def test_what_was_made_from_a_forced_stage_runs_later(self, fakes: Any, tmp_path: Path) -> None:
        run(fakes.recipe, tmp_path)
        run(fakes.recipe, tmp_path, Selection(last="train", force=("train",)))
        fakes.taken()
        reasons = {s.stage.name: s.reason for s in plan(fakes.recipe, tmp_path) if s.runs}
        assert reasons == {"evaluate": "train was made again", "export": "evaluate runs"}
        run(fakes.recipe, tmp_path)
        assert fakes.taken() == ["evaluate", "export"]
        assert not any(step.runs for step in plan(fakes.recipe, tmp_path))

    def test_a_lost_file_is_made_again(self, fakes: Any, tmp_path: Path) -> None:
        steps = run(fakes.recipe, tmp_path)
        fakes.taken()
        (steps[2].folder / "output").unlink()
        reasons = {s.stage.name: s.reason for s in plan(fakes.recipe, tmp_path) if s.runs}
        assert reasons["train"] == "its output is gone or changed"
        run(fakes.recipe, tmp_path)
        assert fakes.taken() == ["train", "evaluate", "export"]

    @pytest.mark.parametrize("content", ["", "{}", "[1]"])
    def test_a_damaged_manifest(self, fakes: Any, tmp_path: Path, content: str) -> None:
        steps = run(fakes.recipe, tmp_path)
        fakes.taken()
        (steps[4].folder / "manifest.json").write_text(content)
        run(fakes.recipe, tmp_path)
        assert fakes.taken() == ["export"]

    def test_force_outside_the_selection(self) -> None:
        with pytest.raises(RecipeError, match=r"--force names 'prepare'.*train to train"):
            Selection("train", "train", ("prepare",))

    def test_force_within_the_selection(self, fakes: Any, tmp_path: Path) -> None:
        run(fakes.recipe, tmp_path)
        fakes.taken()
        run(fakes.recipe, tmp_path, Selection("evaluate", "evaluate", force=("evaluate",)))
        assert fakes.taken() == ["evaluate"]

    @pytest.mark.parametrize(
        "arguments", [{"first": "trian"}, {"last": ""}, {"force": ("prepare", "expotr")}]
    )
    def test_unknown_stage(self, arguments: Any) -> None:
        with pytest.raises(RecipeError, match=r"No stage .*The stages are prepare, process, train"):
            Selection(**arguments)

    def test_backwards(self) -> None:
        with pytest.raises(RecipeError, match="'train' comes after 'process'"):
            Selection("train", "process")


class TestFailure:
    def test_leaves_a_partial_folder_only(self, fakes: Any, tmp_path: Path) -> None:
        fakes.failing = "train"
        with pytest.raises(RuntimeError, match="on purpose"):
            run(fakes.recipe, tmp_path)
        assert fakes.taken() == ["prepare", "process", "train"]
        (left,) = [p for p in (tmp_path / "tiny" / "train").iterdir() if p.is_dir()]
        assert left.suffix == ".partial"
        assert not (tmp_path / "tiny" / "latest").exists()
        assert reasons(fakes.recipe, tmp_path)["train"] == "was cut off"

    def test_next_run_completes(self, fakes: Any, tmp_path: Path) -> None:
        fakes.failing = "evaluate"
        with pytest.raises(RuntimeError):
            run(fakes.recipe, tmp_path)
        fakes.failing = ""
        fakes.taken()
        run(fakes.recipe, tmp_path)
        assert fakes.taken() == ["evaluate", "export"]
        assert (tmp_path / "tiny" / "latest" / "export" / "manifest.json").is_file()
        assert not list(tmp_path.rglob("*.partial"))

    @pytest.mark.parametrize(("stage", "kept"), [("process", False), ("train", True)])
    def test_only_what_resumes_keeps_its_half(
        self, fakes: Any, tmp_path: Path, stage: str, kept: bool
    ) -> None:
        fakes.failing = stage
        with pytest.raises(RuntimeError):
            run(fakes.recipe, tmp_path)
        (partial,) = (tmp_path / "tiny" / stage).glob("*.partial")
        (partial / "half").touch()
        fakes.failing = ""
        run(fakes.recipe, tmp_path)
        assert (tmp_path / "tiny" / "latest" / stage / "half").exists() == kept

    @pytest.mark.parametrize("force", ["process", "train"])
    def test_a_half_of_other_inputs_is_not_kept(
        self, fakes: Any, tmp_path: Path, force: str
    ) -> None:
        fakes.failing = "train"
        with pytest.raises(RuntimeError):
            run(fakes.recipe, tmp_path)
        (partial,) = (tmp_path / "tiny" / "train").glob("*.partial")
        (partial / "half").touch()
        fakes.failing = ""
        run(fakes.recipe, tmp_path, Selection(force=(force,)))
        assert not (tmp_path / "tiny" / "latest" / "train" / "half").exists()


KILLED = """
import os, signal
from dataclasses import replace
from dataclasses import replace
from pathlib import Path
from towermill.pipelines import load_recipe, run
from towermill.pipelines.running import plan as planning
from towermill.pipelines.stages.stages import STAGES

def fake(name):
    def work(recipe, inputs, out, runtime):
        (out / "half").touch()
        if os.environ.get("KILL") == name:
            os.kill(os.getpid(), signal.SIGKILL)
        (out / "half").rename(out / "whole")
        if name == "export":
            (out / "bundle").mkdir()
        print(name)
    return work

planning.STAGES = tuple(replace(stage, run=fake(stage.name)) for stage in STAGES)
run(load_recipe("r.yaml"), Path("runs"))
"""


class TestKill:
    def test_next_run_completes(
        self, tmp_path: Path, python: Callable[..., subprocess.CompletedProcess[str]]
    ) -> None:
        (tmp_path / "r.yaml").write_text("source: {kind: synthetic}\n")
        killed = python(KILLED, check=False, KILL="process")
        assert killed.returncode == -signal.SIGKILL
        folders = sorted(p.name for p in (tmp_path / "runs/r/process").iterdir() if p.is_dir())
        assert [name.partition(".")[2] for name in folders] == ["partial"]
        assert not (tmp_path / "runs/r/latest").exists()
        assert python(KILLED).stdout.split() == ["process", "train", "evaluate", "export"]
        for name in ALL:
            assert (tmp_path / "runs/r/latest" / name / "whole").is_file()
        assert not list((tmp_path / "runs").rglob("*.partial"))


class TestLock:
    def test_another_process_on_the_stage(self, fakes: Any, tmp_path: Path) -> None:
        step = plan(fakes.recipe, tmp_path)[0]
        lock = tmp_path / "tiny" / ".locks" / f"prepare-{step.key}"
        lock.parent.mkdir(parents=True)
        code = (
            "import fcntl, sys, time; f = open(sys.argv[1], 'w'); "
            "fcntl.flock(f, fcntl.LOCK_EX); print('held', flush=True); time.sleep(60)"
        )
        with subprocess.Popen(
            [sys.executable, "-c", code, str(lock)], stdout=subprocess.PIPE, text=True
        ) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == "held\n"
            try:
                with pytest.raises(TowermillError, match="Another process is running this very"):
                    run(fakes.recipe, tmp_path)
                assert fakes.taken() == []
            finally:
                other.kill()
        # The system has let go of it.
        run(fakes.recipe, tmp_path)
        assert fakes.taken() == ALL

    def test_what_another_process_has_finished_meanwhile_is_not_run(
        self,
        fakes: Any,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        early = plan(fakes.recipe, tmp_path)
        run(fakes.recipe, tmp_path)
        before = early[0].folder.stat().st_ino
        fakes.taken()
        monkeypatch.setattr(runner, "plan", lambda *_: early)
        with caplog.at_level(logging.INFO, "towermill"):
            run(fakes.recipe, tmp_path)
        assert fakes.taken() == []
        assert early[0].folder.stat().st_ino == before
        assert "prepare: another process has finished it" in caplog.text


class TestLatest:
    def test_is_of_whole_runs_only(self, fakes: Any, tmp_path: Path) -> None:
        latest = tmp_path / "tiny" / "latest"
        run(fakes.recipe, tmp_path, Selection(last="evaluate"))
        assert not latest.exists()
        first = run(fakes.recipe, tmp_path)
        assert (latest / "train").resolve() == first[2].folder
        assert (latest / "bundle").is_dir()
        other = changed(fakes.recipe, train={"epochs": 3})
        run(other, tmp_path, Selection(last="evaluate"))
        assert (latest / "train").resolve() == first[2].folder
        second = run(other, tmp_path)
        assert (latest / "train").resolve() == second[2].folder != first[2].folder

    def test_follows_the_newest_call(self, fakes: Any, tmp_path: Path) -> None:
        first = run(fakes.recipe, tmp_path)
        run(changed(fakes.recipe, train={"epochs": 3}), tmp_path)
        run(fakes.recipe, tmp_path)  # runs nothing, and yet is what was asked for last
        assert (tmp_path / "tiny/latest/train").resolve() == first[2].folder

    def test_is_never_away(
        self, fakes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run(fakes.recipe, tmp_path)
        latest, there = tmp_path / "tiny" / "latest", []
        rename, replace, rmtree = Path.rename, Path.replace, shutil.rmtree

        def watched(original: Any) -> Any:
            def call(*args: Any, **kwargs: Any) -> Any:
                made = original(*args, **kwargs)
                there.append((latest / "export" / "output").is_file())
                return made

            return call

        monkeypatch.setattr(Path, "rename", watched(rename))
        monkeypatch.setattr(Path, "replace", watched(replace))
        monkeypatch.setattr(execution.shutil, "rmtree", watched(rmtree))
        run(changed(fakes.recipe, train={"epochs": 3}), tmp_path)
        assert there
        assert all(there)

    def test_a_moved_folder_still_works(self, fakes: Any, tmp_path: Path) -> None:
        run(fakes.recipe, tmp_path / "here")
        fakes.taken()
        (tmp_path / "here").rename(tmp_path / "there")
        assert (tmp_path / "there/tiny/latest/export/output").read_text() == "export"
        run(fakes.recipe, tmp_path / "there")
        assert fakes.taken() == []


class TestOut:
    def test_a_file(self, fakes: Any, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(SetupError, match="Choose another with --out"):
            run(fakes.recipe, tmp_path / "file")
        assert fakes.taken() == []

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
    def test_not_writable(self, fakes: Any, tmp_path: Path) -> None:
        (tmp_path / "tiny").mkdir()
        for folder in (tmp_path / "tiny", tmp_path):
            folder.chmod(0o500)
            try:
                with pytest.raises(SetupError, match="--out"):
                    run(fakes.recipe, tmp_path)
            finally:
                folder.chmod(0o700)
