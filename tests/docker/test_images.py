"""The Dockerfile without an engine: every path, stage and pin that it names is there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "docker" / "Dockerfile"
TARGETS = ("cpu", "gpu", "mlflow")
#: Variables that others than Towermill read: Python, uv, shells, TensorFlow, the driver's toolkit.
OTHERS = {
    "TF_FORCE_GPU_ALLOW_GROWTH",
    *("PATH", "PYTHONUNBUFFERED", "VIRTUAL_ENV"),
    *("UV_COMPILE_BYTECODE", "UV_LINK_MODE", "UV_PYTHON_INSTALL_DIR"),
    *("NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES"),
}


@dataclass(frozen=True)
class Stage:
    base: str
    name: str
    lines: tuple[tuple[str, str], ...]

    def told(self, instruction: str) -> list[str]:
        return [rest for word, rest in self.lines if word == instruction]


def stages() -> dict[str, Stage]:
    text = "\n".join(
        line for line in DOCKERFILE.read_text().splitlines() if not line.lstrip().startswith("#")
    )
    lines = [line for line in re.sub(r"\\\n", " ", text).splitlines() if line.strip()]
    found: dict[str, Stage] = {}
    name, base, own = "", "", []
    for line in [*lines, "FROM end AS end"]:
        word, _, rest = line.strip().partition(" ")
        if word != "FROM":
            own.append((word, rest.strip()))
            continue
        if name:
            found[name] = Stage(base, name, tuple(own))
        (base, name), own = re.fullmatch(r"(\S+) AS (\S+)", rest).groups(), []  # type: ignore[union-attr]
    return found


STAGES = stages()


def lineage(target: str) -> list[Stage]:
    """The stage, and those it begins from."""
    stage = STAGES[target]
    return [stage, *(lineage(stage.base) if stage.base in STAGES else [])]


class TestStages:
    def test_targets_are_there(self) -> None:
        assert set(TARGETS) <= set(STAGES)

    @pytest.mark.parametrize("stage", STAGES.values(), ids=lambda stage: stage.name)
    def test_bases_are_pinned(self, stage: Stage) -> None:
        if stage.base in STAGES:
            return
        _, _, tag = stage.base.partition(":")
        assert re.match(r"\d+\.\d+\.\d+-", tag), stage.base

    def test_gpu_stands_on_cudas_runtime(self) -> None:
        assert re.fullmatch(r"nvidia/cuda:12\.[\d.]+-runtime-ubuntu[\d.]+", STAGES["gpu"].base)

    def test_one_python_is_named_throughout(self) -> None:
        text = DOCKERFILE.read_text()
        found = set(re.findall(r"(?:python:|--python )(\d+\.\d+\.\d+)", text))
        assert len(found) == 1
        locked = re.search(r"--python-version (\d+\.\d+)", (ROOT / "Makefile").read_text())
        assert locked is not None
        assert found.pop().startswith(locked[1] + ".")

    @pytest.mark.parametrize("stage", STAGES.values(), ids=lambda stage: stage.name)
    def test_copied_stages_come_before(self, stage: Stage) -> None:
        earlier = list(STAGES)[: list(STAGES).index(stage.name)]
        for rest in stage.told("COPY"):
            if named := re.match(r"--from=(\S+)", rest):
                assert named[1] in earlier


class TestContext:
    def sources(self) -> set[str]:
        found = set()
        for stage in STAGES.values():
            for rest in stage.told("COPY"):
                if not rest.startswith("--from="):
                    found |= set(rest.split()[:-1])
        return found

    def test_what_is_copied_exists(self) -> None:
        assert self.sources()
        assert [path for path in self.sources() if not (ROOT / path).exists()] == []

    def test_what_is_copied_is_sent(self) -> None:
        lines = (ROOT / ".dockerignore").read_text().splitlines()
        assert "*" in lines
        sent = {line[1:] for line in lines if line.startswith("!")}
        assert {path.rstrip("/") for path in self.sources()} == sent

    def test_the_wheel_has_all_its_packages(self) -> None:
        mapped = {"towermill", *re.findall(r'"(\w+)"', _folders())}
        folders = {"towermill", "workflows", "models", "pipelines", "recipes", "requirements"}
        assert mapped == folders
        assert {f"{folder}/" for folder in mapped} <= self.sources()


def _folders() -> str:
    return re.search(r"^FOLDERS = (.+)$", (ROOT / "setup.py").read_text(), re.MULTILINE)[1]


class TestPackages:
    def test_locks_exist_and_are_hashed(self) -> None:
        named = re.findall(r"-r (requirements/\S+)", DOCKERFILE.read_text())
        assert set(named) == {f"requirements/{n}.txt" for n in ("cpu", "gpu", "mlflow")}
        for path in named:
            assert "--hash=sha256:" in (ROOT / path).read_text(), path

    @pytest.mark.parametrize("target", ["cpu", "gpu"])
    def test_each_target_has_its_own_lock(self, target: str) -> None:
        (run,) = (r for r in STAGES[f"build-{target}"].told("RUN") if "requirements/" in r)
        assert f"requirements/{target}.txt" in run
        assert "--require-hashes" in run
        copied = " ".join(STAGES[target].told("COPY"))
        assert f"--from=build-{target} /opt/towermill /opt/towermill" in copied

    def test_packages_are_installed_before_the_code_comes(self) -> None:
        for target in ("cpu", "gpu"):
            words = [word for word, _ in STAGES[f"build-{target}"].lines]
            assert words.index("RUN") < words.index("COPY")

    def test_the_installer_is_pinned(self) -> None:
        assert re.search(r"\buv==\d+\.\d+\.\d+\b", DOCKERFILE.read_text())


class TestContainers:
    @pytest.mark.parametrize("target", TARGETS)
    def test_runs_as_somebody(self, target: str) -> None:
        (user,) = STAGES[target].told("USER")
        assert int(user) > 0

    @pytest.mark.parametrize("target", ["cpu", "gpu"])
    def test_health_is_the_doctors(self, target: str) -> None:
        (check,) = STAGES[target].told("HEALTHCHECK")
        assert check.endswith('CMD ["towermill", "doctor"]')

    def test_variables_are_ones_that_are_read(self) -> None:
        code = "".join(path.read_text() for path in (ROOT / "towermill").rglob("*.py"))
        for target in TARGETS:
            for stage in [*lineage(target), *STAGES.values()]:
                for rest in stage.told("ENV"):
                    for name in re.findall(r"(\w+)=\S+", rest):
                        assert name in OTHERS or f'"{name}"' in code, name

    def test_bytecode_is_compiled(self) -> None:
        assert "UV_COMPILE_BYTECODE=1" in " ".join(STAGES["build"].told("ENV"))


def test_hadolint_has_nothing_to_say() -> None:
    hadolint = shutil.which("hadolint") or shutil.which(
        "hadolint", path=str(Path(sys.executable).parent)
    )
    if hadolint is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run(
        [hadolint, str(DOCKERFILE)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")
