"""`towermill install`: from a name to the command of pip, and what messages say."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from towermill import extras
from towermill.errors import SetupError
from towermill.extras import install, installer, known, missing_for_training, require_training

ROOT = Path(__file__).parents[2]
#: `importlib.util.find_spec` itself, beside which tests put another.
FIND = importlib.util.find_spec


class TestInstaller:
    def test_installs_the_lock_into_this_environment(self) -> None:
        command = installer(["tune"])
        assert sys.executable in command
        assert command[-4:-1] == ["--no-deps", "--require-hashes", "-r"]
        assert Path(command[-1]).samefile(ROOT / "requirements" / "tune.txt")

    def test_several_at_once(self) -> None:
        files = [Path(word).name for word in installer(["cpu", "demo"]) if word.endswith(".txt")]
        assert files == ["cpu.txt", "demo.txt"]

    def test_without_pip_by_uv(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
        assert installer(["tune"])[:5] == ["/bin/uv", "pip", "install", "--python", sys.executable]

    def test_with_neither(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        monkeypatch.setattr(shutil, "which", lambda name: None)
        with pytest.raises(SetupError, match="ensurepip"):
            installer(["tune"])

    @pytest.mark.parametrize(
        ("names", "told"),
        [
            ([], "names among als, cpu, .*Received: nothing"),
            (["cup"], "Received: cup"),
            (["dev"], "Received: dev"),
            (["cpu", "gpu"], "cpu or gpu, not both"),
        ],
    )
    def test_refused(self, names: list[str], told: str) -> None:
        with pytest.raises(SetupError, match=told):
            installer(names)

    def test_a_failure_of_pip(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=3))
        with pytest.raises(SetupError, match="code 3"):
            install(["tune"])


class TestMissing:
    def test_before_long_work(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def find(name: str) -> Any:
            return None if name == "tensorflow" else FIND(name)

        monkeypatch.setattr(importlib.util, "find_spec", find)
        with pytest.raises(SetupError, match=r"package tensorflow, .* towermill install cpu"):
            require_training()

    def test_its_parent_is_missing_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def find(name: str) -> Any:
            if name == "merlin.models":
                raise ModuleNotFoundError(name)
            return FIND(name)

        monkeypatch.setattr(importlib.util, "find_spec", find)
        with pytest.raises(SetupError, match=r"package merlin\.models"):
            require_training()

    def test_a_message_names_what_can_be_installed(self) -> None:
        words = missing_for_training("dask").split()
        assert words[words.index("install") + 1] in known()


def test_messages_name_no_extra() -> None:
    folders = ("towermill", "workflows", "models", "pipelines", "docs")
    files = [
        path
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".md")
    ]
    assert files
    assert [path for path in files if "'towermill[" in path.read_text()] == []


def test_every_name_that_messages_use_is_known() -> None:
    folders = ("towermill", "workflows", "models", "pipelines")
    texts = [path.read_text() for folder in folders for path in (ROOT / folder).rglob("*.py")]
    calls = {
        part.split(")")[0].strip("'\"")
        for text in texts
        for part in text.split("install_command(")[1:]
    }
    assert calls - {"name: str"} <= known().keys()
    assert extras.install_command("tune") == "towermill install tune"
