"""What CI does: workflows that parse, whose commands name Make targets and files that are there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))
#: YAML reads the key `on` as a truth.
TRIGGERS: Any = True


def workflow(name: str) -> dict[Any, Any]:
    return dict(yaml.safe_load((ROOT / ".github" / "workflows" / f"{name}.yaml").read_text()))


def steps(found: dict[Any, Any]) -> list[dict[str, Any]]:
    return [step for job in found["jobs"].values() for step in job["steps"]]


def make_targets() -> set[str]:
    """All that can be made, targets of a pattern (`image-%`) among them."""
    text = (ROOT / "Makefile").read_text()
    lines = re.findall(r"^([a-z][\w -]*?):(?!=)", text, re.MULTILINE)
    return {name for line in lines for name in line.split()}


def commands(found: dict[Any, Any]) -> list[str]:
    """Return the commands, one for each value of a matrix."""
    told = []
    for job in found["jobs"].values():
        matrix = job.get("strategy", {}).get("matrix", {})
        for step in job["steps"]:
            if "run" not in step:
                continue
            variants = [step["run"]]
            for key, values in matrix.items():
                place = "${{ matrix." + key + " }}"
                variants = [v.replace(place, str(value)) for v in variants for value in values]
            told += variants
    return told


def test_there_are_three() -> None:
    assert [file.stem for file in FILES] == ["cpu", "gpu", "images"]


@pytest.mark.parametrize("name", [file.stem for file in FILES])
class TestWorkflow:
    def test_commands_are_there(self, name: str) -> None:
        told = commands(workflow(name))
        assert told
        for command in told:
            first, _, rest = command.partition(" ")
            if first == "make":
                assert set(rest.split()) <= make_targets(), command
            elif first == "bash":
                assert (ROOT / rest).is_file(), command
            else:
                assert first == "docker"
                assert re.search(r"towermill:(cpu|gpu) ", command), command

    def test_actions_are_pinned_and_jobs_end(self, name: str) -> None:
        found = workflow(name)
        for step in steps(found):
            if "uses" in step:
                assert re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"])
        assert all(job["timeout-minutes"] <= 120 for job in found["jobs"].values())
        assert found["permissions"] == {"contents": "read"}

    def test_python_is_the_locks(self, name: str) -> None:
        locked = re.search(r"--python-version (\S+)", (ROOT / "Makefile").read_text())
        assert locked is not None
        for step in steps(workflow(name)):
            if "setup-python" in step.get("uses", ""):
                assert step["with"]["python-version"] == locked[1]


class TestTriggers:
    def test_the_cpu_on_every_push(self) -> None:
        found = workflow("cpu")
        assert found[TRIGGERS]["push"] is None  # of any branch
        assert commands(found) == ["bash .ci/run"]

    def test_a_gpu_by_label_on_a_machine_of_ones_own(self) -> None:
        found = workflow("gpu")
        assert "labeled" in found[TRIGGERS]["pull_request"]["types"]
        (job,) = found["jobs"].values()
        assert "labels.*.name, 'gpu'" in job["if"]
        assert {"self-hosted", "gpu"} <= set(job["runs-on"])
        assert commands(found) == ["make test-gpu", "make results-gpu"]

    def test_every_image_is_built(self) -> None:
        found = workflow("images")
        targets = found["jobs"]["build"]["strategy"]["matrix"]["target"]
        dockerfile = (ROOT / "docker" / "Dockerfile").read_text()
        assert all(f" AS {target}\n" in dockerfile for target in targets)
        assert [c for c in commands(found) if c.startswith("make")] == [
            f"make image-{target}" for target in targets
        ]
        for path in found[TRIGGERS]["pull_request"]["paths"]:
            assert (ROOT / path.removesuffix("/**")).exists()


class TestMakefile:
    @pytest.mark.parametrize("target", ["test-gpu", "results-gpu"])
    def test_files_of_the_gpus_targets_are_there(self, target: str) -> None:
        text = (ROOT / "Makefile").read_text()
        recipe = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", text, re.MULTILINE)
        assert recipe is not None
        paths = re.findall(r"(?:tests|benchmarks)/[\w./]+", recipe[1])
        assert paths
        assert [path for path in paths if not (ROOT / path).exists()] == []
