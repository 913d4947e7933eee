"""Who holds the GPU: a stage's own process, and in it cuDF and TensorFlow as the stage needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from towermill.errors import SetupError
from towermill.pipelines import Recipe, plan, run, validate_recipe
from towermill.pipelines.recipe.runtime import RuntimeConfig
from towermill.pipelines.running import execute as execution
from towermill.pipelines.running import run as runner
from towermill.runtime.device import Runtime
from towermill.runtime.gpu import Memory

GPU = Runtime("gpu")


class ClaimedError(Exception):
    """Ends a stage where it has claimed the GPU."""


@pytest.fixture
def claims(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Memory]]:
    found = []

    def claim(use: str, memory: Memory) -> None:
        found.append((use, memory))
        raise ClaimedError

    monkeypatch.setattr(execution, "claim", claim)
    return found


def recipe_with(**sections: Any) -> Recipe:
    return validate_recipe({"name": "x", "source": {"kind": "synthetic"}, **sections})


def work(name: str, recipe: Recipe, runtime: Runtime, out: Path) -> None:
    step = next(step for step in plan(recipe, out) if step.stage.name == name)
    execution.run_step(replace(step, inputs={}), recipe, runtime)


class TestUse:
    @pytest.mark.parametrize(
        ("stage", "use"),
        [("process", "features"), ("train", "model"), ("evaluate", "model"), ("export", "model")],
    )
    def test_of_each_stage(self, claims: Any, tmp_path: Path, stage: str, use: str) -> None:
        with pytest.raises(ClaimedError):
            work(stage, recipe_with(), GPU, tmp_path)
        assert claims == [(use, Memory())]

    def test_vectors_of_texts_are_tensorflows(self, claims: Any, tmp_path: Path) -> None:
        recipe = recipe_with(text={"vectors": "lsa"})
        with pytest.raises(ClaimedError):
            work("process", recipe, GPU, tmp_path)
        assert claims[0][0] == "both"

    def test_nothing_is_claimed_on_a_cpu(self, claims: Any, tmp_path: Path) -> None:
        with pytest.raises(KeyError):  # there is nothing to evaluate
            work("evaluate", recipe_with(), Runtime("cpu"), tmp_path)
        assert claims == []


class TestMemory:
    config = RuntimeConfig(rmm_pool="8GB", tensorflow_memory=0.4, spill=False, host_tables="1GB")

    def test_of_a_process_without_a_cluster(self) -> None:
        assert self.config.memory(GPU) == Memory("8GB", 0.4, False, "1GB")

    def test_workers_of_a_cluster_have_the_pool(self) -> None:
        assert self.config.memory(Runtime("gpu", "tcp://x:1")) == Memory(0.0, 0.4, False, "1GB")
        options = self.config.cluster_options()
        assert (options["rmm_pool"], options["spill"]) == ("8GB", False)
        assert not {"tensorflow_memory", "host_tables"} & set(options)


class TestProcesses:
    @pytest.fixture
    def ran(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, Runtime]]:
        """Stage, where it ran, and with what."""
        found: list[tuple[str, str, Runtime]] = []

        def note(where: str) -> Callable[..., None]:
            def ran_there(step: Any, recipe: Any, runtime: Runtime, *, wait: bool) -> None:
                found.append((step.stage.name, where, runtime))

            return ran_there

        monkeypatch.setattr(runner, "run_step", note("here"))
        monkeypatch.setattr(runner, "run_in_child", note("child"))
        return found

    def test_on_a_gpu_each_stage_has_its_own(
        self, ran: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(runner, "resolve", lambda *asked: GPU)
        run(recipe_with(), tmp_path)
        where = {stage: place for stage, place, _ in ran}
        assert where == {"prepare": "here"} | dict.fromkeys(
            ("process", "train", "evaluate", "export"), "child"
        )
        assert {runtime for _, _, runtime in ran} == {GPU}

    def test_on_a_cpu_all_run_here(self, ran: Any, tmp_path: Path) -> None:
        run(recipe_with(runtime={"device": "cpu"}), tmp_path)
        assert {place for _, place, _ in ran} == {"here"}

    def test_no_gpu_is_an_error_before_anything(
        self, ran: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
        with pytest.raises(SetupError, match="no NVIDIA GPU is visible"):
            run(recipe_with(runtime={"device": "gpu"}), tmp_path / "out")
        assert ran == []
        assert not (tmp_path / "out").exists()
